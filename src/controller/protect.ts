import type { Protector } from './api.ts'
import type { ApiServer } from './apiserver.ts'
import { processesIn } from './observe.ts'
import { PROTECTIONS, type Pod } from './pods.ts'
import { annotatePod } from './resources.ts'
import type { RedisView } from './view.ts'

/** A pod is protected once a job of it has run for so long. Milliseconds. */
const LONG_MS = 60_000

/**
 * Tells these cluster autoscalers not to disturb pods in which a job runs for longer than a minute, and takes that back
 * where none does, or where it is not asked for any more. What others wrote, such as a pod's template, stays.
 */
export async function protect(
  api: ApiServer,
  protectors: readonly Protector[],
  pods: readonly Pod[],
  view: RedisView,
): Promise<void> {
  for (const pod of pods) {
    const oldest = Math.min(...processesIn(view, pod).flatMap(({ load }) => load.jobs.map(({ sinceMs }) => sinceMs)))
    const busy = view.reading.now - oldest >= LONG_MS
    const changes: Record<string, string | null> = {}
    for (const [protector, { name, value }] of Object.entries(PROTECTIONS)) {
      const wanted = busy && protectors.includes(protector as Protector)
      if (wanted && pod.annotations[name] === undefined) changes[name] = value
      if (!wanted && pod.ours.includes(name)) changes[name] = null
    }
    if (Object.keys(changes).length > 0) await annotatePod(api, pod, changes)
  }
}
