import { settlesWithin } from '../clock.ts'
import type { Outcome } from './outcome.ts'

/** How long after a process below it a worker may be reached by a signal that was sent to them all. Milliseconds. */
const MOMENT_MS = 1000
/** What service managers and terminals stop a whole tree with. */
const STOPPING: ReadonlySet<string> = new Set(['SIGTERM', 'SIGINT', 'SIGHUP'])

/** Whether a signal has told the worker to stop. */
export interface StopWord {
  /** One has. */
  hear(): void
  /**
   * What a run's outcome is worth where the worker is told to stop: systemd, PM2 and others signal each process of a tree, in an order of their
   * own. Where the job got such a signal, which was not the engine's, and the worker has got one, too, or gets it within a second,
   * the job goes back uncounted. All other outcomes are given back at once, as they are.
   */
  weigh(outcome: Outcome): Outcome | Promise<Outcome>
}

export function createStopWord(): StopWord {
  const { promise, resolve } = Promise.withResolvers<void>()
  let heard = false
  const orReturned = async (outcome: Outcome, signal: string): Promise<Outcome> => {
    await settlesWithin(promise, MOMENT_MS)
    // A loop that was late has not looked for signals yet.
    await new Promise((turn) => setImmediate(turn))
    if (!heard) return outcome
    const reason = `${signal} was sent to its process, and this worker was told to stop`
    return { kind: 'returned', reason, counted: false, ...(outcome.process ? { process: outcome.process } : {}) }
  }
  return {
    hear: () => {
      heard = true
      resolve()
    },
    weigh: (outcome) => {
      const signal = signalOf(outcome)
      return signal !== undefined && STOPPING.has(signal) ? orReturned(outcome, signal) : outcome
    },
  }
}

/** The signal, not the engine's, that ended a run, or of which its code was told. */
function signalOf(outcome: Outcome): string | undefined {
  return outcome.kind === 'signalled' ? outcome.signal : outcome.heard
}
