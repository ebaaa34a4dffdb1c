import type { End, Held } from '../queue/turn.ts'
import type { Runner } from './runner.ts'
import { Stop } from './stop.ts'

/** The jobs that run now, and what each slot has counted. */
export interface Crew {
  readonly size: number
  /** Runs a job in its slot; its end goes to `ended`, unless it was interrupted. */
  start(held: Held): void
  /** Stops all running jobs without recording their end. Resolves when their processes are gone. */
  interrupt(reason: string): Promise<void>
  /** Stops the running jobs and records them as cancelled (R50). */
  cancel(reason: string): void
  /** Statistics of slots that changed since the last call, absolute. */
  changed(): (readonly [slot: number, processed: number, failed: number])[]
  /** A new registration counts from zero. */
  resetStatistics(): void
}

export function createCrew(slots: number, runner: Runner, ended: (end: End) => void): Crew {
  const running = new Map<number, { readonly stop: Stop; readonly done: Promise<void> }>()
  let spare: Stop | undefined
  const statistics = Array.from({ length: slots }, () => ({ processed: 0, failed: 0, dirty: false }))

  const count = (end: End): void => {
    const counts = statistics[end.slot]
    if (!counts || end.ending.verb === 'return' || end.ending.verb === 'quarantine') return
    counts.processed++
    if (end.ending.verb !== 'done') counts.failed++
    counts.dirty = true
  }

  const finish = (end: End | undefined): void => {
    if (!end) return
    count(end)
    ended(end)
  }

  return {
    get size() {
      return running.size
    },
    start: (held) => {
      const stop = spare ?? new Stop()
      spare = undefined
      const end = runner.run(held, stop)
      if (!(end instanceof Promise)) {
        spare = stop // nobody can have kept it
        finish(end)
        return
      }
      const done = end.then((known) => {
        running.delete(held.slot)
        finish(known)
      })
      running.set(held.slot, { stop, done })
    },
    interrupt: async (reason) => {
      for (const job of running.values()) job.stop.interrupt(reason)
      await Promise.all([...running.values()].map((job) => job.done))
    },
    cancel: (reason) => {
      for (const job of running.values()) job.stop.abort(new Error(reason))
    },
    changed: () => {
      const changed: [number, number, number][] = []
      statistics.forEach((counts, slot) => {
        if (counts.dirty) changed.push([slot, counts.processed, counts.failed])
        counts.dirty = false
      })
      return changed
    },
    resetStatistics: () => {
      for (const counts of statistics) Object.assign(counts, { processed: 0, failed: 0, dirty: false })
    },
  }
}
