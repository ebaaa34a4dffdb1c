import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Keeps V8 from taking much more memory than a worker needs: under load it would grow by some 50 to 100 MB within the
 * first tens of thousands of jobs and hold on to them, although what is allocated for a job is garbage a moment later.
 * For processes that run no job code, once they have loaded what they need; it takes some 20 ms.
 */
export function keepHeapSmall(): void {
  // The young generation stays as large as it is. Collecting it more often costs no measurable time.
  setFlagsFromString('--semi-space-growth-factor=1')
  // From a full collection V8 derives how much may pile up until the next; before the first, that is more than 100 MB.
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  setFlagsFromString('--no-expose-gc')
  collect()
}
