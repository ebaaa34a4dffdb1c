import { settlesWithin, systemClock, type Clock } from '../clock.ts'
import { STOPPING } from './exithooks.ts'
import type { Heard, Outcome } from './outcome.ts'

/** How long after a process below it a worker may be reached by a signal that was sent to them all. Milliseconds. */
const MOMENT_MS = 1000

/** Whether a signal has told the worker to stop. */
export interface StopWord {
  /** One has. */
  hear(): void
  /**
   * What a run's outcome is worth where the worker is told to stop: systemd, PM2 and others signal each process of a
   * tree, in an order of their own. Where the job got such a signal, which was not the engine's, and the worker has got
   * one, too, or gets it within a second, the job goes back uncounted. All other outcomes are given back at once, as
   * they are.
   */
  weigh(outcome: Outcome): Outcome | Promise<Outcome>
  /** Resolves with whether one has, or does within a second. */
  comes(): Promise<boolean>
}

export function createStopWord(clock: Clock = systemClock): StopWord {
  const { promise, resolve } = Promise.withResolvers<void>()
  let toldAt: number | undefined
  /** Whether it was heard a moment after `at` at the latest. */
  const heardBy = async (at: number): Promise<boolean> => {
    if (toldAt === undefined) await settlesWithin(promise, at + MOMENT_MS - clock.monotonic())
    // A loop that was late has not looked for signals yet.
    await new Promise((turn) => setImmediate(turn))
    return toldAt !== undefined && toldAt <= at + MOMENT_MS
  }
  const orReturned = async (outcome: Outcome, { signal, at }: Heard): Promise<Outcome> => {
    if (!(await heardBy(at))) return outcome
    const reason = `${signal} was sent to its process, and this worker was told to stop`
    return { kind: 'returned', reason, counted: false, ...(outcome.process ? { process: outcome.process } : {}) }
  }
  return {
    hear: () => {
      toldAt ??= clock.monotonic()
      resolve()
    },
    comes: () => heardBy(clock.monotonic()),
    weigh: (outcome) => {
      // One that its code was told of long ago, and lived on with, was for that job alone.
      const heard = outcome.kind === 'signalled' ? { signal: outcome.signal, at: clock.monotonic() } : outcome.heard
      if (heard === undefined || !STOPPING.has(heard.signal)) return outcome
      if (toldAt === undefined && clock.monotonic() >= heard.at + MOMENT_MS) return outcome
      return orReturned(outcome, heard)
    },
  }
}
