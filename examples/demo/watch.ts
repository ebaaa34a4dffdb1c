import { setTimeout as sleep } from 'node:timers/promises'
import { ended, look, type Findings } from './audit.ts'
import type { Place } from './place.ts'
import { count, progress, red, seconds, tell } from './screen.ts'

/** How long nothing may move before the demo gives up, and how long when no job is left that could. Milliseconds. */
const STALLED_MS = 40_000
const EMPTY_MS = 5000

/** Shows progress until `enough` is found. When nothing moves any more it gives up and returns what there is. */
export async function watch(
  place: Place,
  total: number,
  signal: AbortSignal,
  enough: (findings: Findings) => boolean,
): Promise<Findings> {
  let moved = performance.now()
  let last = ''
  for (;;) {
    const findings = await look(place)
    const { failed, inRedis } = findings
    const state = `${ended(findings)} ${inRedis.size}`
    if (state !== last) {
      moved = performance.now()
      progress(ended(findings), total, `${failed.size} failed as they should, ${count(inRedis.size)} to go`)
    }
    last = state
    if (enough(findings)) return findings
    const patience = inRedis.size === 0 ? EMPTY_MS : STALLED_MS
    if (performance.now() - moved > patience) {
      tell('Stalled', red(`nothing has moved for ${seconds(patience)}`))
      return findings
    }
    await sleep(Math.max(200, total / 10), undefined, { signal })
  }
}

/** Waits for a condition. Rejects when it takes too long, or when `signal` aborts. */
export async function until(condition: () => boolean, what: string, signal: AbortSignal): Promise<void> {
  const since = performance.now()
  while (!condition()) {
    if (performance.now() - since > STALLED_MS) throw new Error(`waited ${seconds(STALLED_MS)} in vain ${what}`)
    await sleep(20, undefined, { signal })
  }
}
