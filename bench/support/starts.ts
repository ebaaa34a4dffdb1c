import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** When a job began, and in which process. */
export interface Start {
  readonly id: string
  readonly at: bigint
  readonly pid: number
}

/** What jobs noted in a file, in the order of their starts. */
export function readStarts(file: string): Start[] {
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [id = '', at = '0', pid = '0'] = line.split(' ')
      return { id, at: BigInt(at), pid: Number(pid) }
    })
}

/** Waits until `done` holds of what is noted, or for `ms`; returns what is noted then. Looks every `everyMs`. */
export async function startsUntil(
  file: string,
  done: (starts: readonly Start[]) => boolean,
  ms: number,
  everyMs = 20,
): Promise<Start[]> {
  const until = performance.now() + ms
  for (;;) {
    const starts = readStarts(file)
    if (done(starts) || performance.now() > until) return starts
    await sleep(everyMs)
  }
}

/** Processes that have it open go on at its beginning. */
export function clearStarts(file: string): void {
  writeFileSync(file, '')
}
