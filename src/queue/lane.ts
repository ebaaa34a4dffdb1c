import { randomBytes } from 'node:crypto'
import { systemClock, type Clock } from '../clock.ts'
import { ResQueueError } from '../errors.ts'
import { refusalOf } from '../redis/replies.ts'
import type { Script } from '../redis/scripts.ts'
import type { Arg, Store } from '../redis/store.ts'

/** How long a client insists on an answer. Milliseconds. */
export const PATIENCE_MS = 5000
/** A call that waited for its turn gets at least this much. */
const LEAST_MS = 50

/** Refusals that pass by themselves: a restart, a failover, a long script. */
const PASSING = /^(LOADING|READONLY|MASTERDOWN|BUSY|TRYAGAIN|CLUSTERDOWN|MISCONF|NOREPLICAS)\b/

/**
 * How a numbered call ended without an answer. `unsent`: it never left, nothing was written. `unknown`: it went out and may
 * have run.
 */
export type Unanswered = 'unsent' | 'unknown'

/**
 * A client's numbered calls, one at a time and in order. A call whose reply is lost is sent again under its number before
 * any newer one, and its script does nothing for a number that it has seen (`lua/lib/numbered.lua`): so calls that would
 * not bear a repetition (push, pop, count, move) have their effect once.
 */
export interface Lane {
  readonly store: Store
  /**
   * Runs a script whose first two arguments are the client's nonce and the call's number. Throws as `Store.run` does; after
   * five seconds without an answer `REDIS_UNAVAILABLE`, whose `data.unanswered` is an `Unanswered`.
   */
  run(script: Script, args: readonly Arg[], since?: number): Promise<string>
}

interface Waiting {
  readonly script: Script
  readonly args: readonly Arg[]
  readonly since: number
  readonly resolve: (answer: string) => void
  readonly reject: (error: unknown) => void
}

export function openLane(store: Store, clock: Clock = systemClock): Lane {
  const nonce = randomBytes(8).toString('hex')
  const waiting: Waiting[] = []
  let number = 0
  let running: Promise<void> | undefined

  const ask = async ({ script, args, since }: Waiting): Promise<string> => {
    const full = [nonce, ++number, ...args]
    const { commands, reconnects } = store.counts
    const left = (): number => Math.max(PATIENCE_MS - (clock.monotonic() - since), LEAST_MS)
    try {
      try {
        return (await store.run(script, full, { deadlineMs: left() })) as string
      } catch (error) {
        if (!passes(error)) throw error
        return (await store.run(script, full, { deadlineMs: left(), stubborn: true })) as string
      }
    } catch (error) {
      const unsent = store.counts.commands === commands
      throw isUnanswered(error, store.counts.reconnects > reconnects)
        ? unanswered(error, unsent ? 'unsent' : 'unknown')
        : error
    }
  }

  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      try {
        next.resolve(await ask(next))
      } catch (error) {
        next.reject(error)
      }
    }
    running = undefined
  }

  return Object.freeze({
    store,
    run: (script: Script, args: readonly Arg[], since: number = clock.monotonic()) =>
      new Promise<string>((resolve, reject) => {
        waiting.push({ script, args, since, resolve, reject })
        running ??= work()
      }),
  })
}

function passes(error: unknown): boolean {
  return error instanceof ResQueueError && error.code === 'REDIS_REFUSED' && PASSING.test(refusalOf(error.cause))
}

/**
 * Whether a failed call is without an answer. A refusal is one: the script looks at its number before anything can be
 * refused, so one that says "full" or "wrong type" did not run earlier either. But where the connection was lost in
 * between, a refusal of a server that starts or fails over says nothing about the attempt before.
 */
function isUnanswered(error: unknown, reconnected: boolean): error is ResQueueError {
  if (!(error instanceof ResQueueError)) return false
  return error.code === 'REDIS_UNAVAILABLE' || (reconnected && passes(error))
}

function unanswered(error: ResQueueError, kind: Unanswered): ResQueueError {
  return new ResQueueError('REDIS_UNAVAILABLE', error.message, {
    cause: error.cause,
    data: { ...error.data, unanswered: kind },
  })
}
