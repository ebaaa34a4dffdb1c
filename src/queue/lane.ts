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

/** Refusals that come before a script is looked at. */
const DENIED = /^(WRONGPASS|NOAUTH|NOPERM)\b|^ERR invalid password/

/**
 * How a numbered call ended without an answer. `unsent`: it never left, nothing was written. `unknown`: it went out and
 * may have run.
 */
export type Unanswered = 'unsent' | 'unknown'

/** Enqueues that may be under way at once: Redis works on one while the next is made and answers travel. */
export const MOST_STREAMED = 2

/**
 * A client's numbered calls, in order. A call whose reply is lost is sent again under its number before any newer one
 * runs, and its script does nothing for a number that it has seen (`lua/lib/numbered.lua`): so calls that would
 * not bear a repetition (push, pop, count, move) have their effect once.
 */
export interface Lane {
  readonly store: Store
  /**
   * Runs a script whose first two arguments are the client's nonce and the call's number; no other call is under way
   * meanwhile. Throws as `Store.run` does; after five seconds without an answer `REDIS_UNAVAILABLE`, whose
   * `data.unanswered` is an `Unanswered`.
   */
  run(script: Script, args: readonly Arg[], since?: number): Promise<string>
  /**
   * The same for a script without an answer, whose third argument is the number of a call that must have run before
   * (`lua/lib/follows.lua`): it may go out while another one is under way.
   */
  stream(script: Script, args: readonly Arg[], since?: number): Promise<void>
}

interface Call {
  readonly script: Script
  readonly args: readonly Arg[]
  readonly since: number
  readonly streams: boolean
  readonly resolve: (answer: string) => void
  readonly reject: (error: unknown) => void
}

/** A call that went out and is not settled. */
interface UnderWay {
  readonly number: number
  readonly streams: boolean
  readonly settled: Promise<void>
}

/** What a streamed call is answered that came before the one that it follows. */
const EARLY = 'early'

/** A lane under a nonce of its own. */
export function openLane(store: Store, clock: Clock = systemClock): Lane {
  const nonce = randomBytes(8).toString('hex')
  const waiting: Call[] = []
  let underWay: readonly UnderWay[] = []
  let number = 0

  /** Sends a call until it is answered. */
  const ask = async ({ script, since }: Call, args: readonly Arg[]): Promise<string> => {
    const { commands } = store.counts
    let wasLost = false
    const lost = (): void => void (wasLost = true)
    const left = (): number => Math.max(PATIENCE_MS - (clock.monotonic() - since), LEAST_MS)
    try {
      try {
        return (await store.run(script, args, { deadlineMs: left(), lost })) as string
      } catch (error) {
        if (!passes(error)) throw error
        return (await store.run(script, args, { deadlineMs: left(), stubborn: true, lost })) as string
      }
    } catch (error) {
      const sent = store.counts.commands > commands
      throw isUnanswered(error, wasLost) ? unanswered(error, sent ? 'unknown' : 'unsent') : error
    }
  }

  const askInOrder = async (call: Call, number: number, before: UnderWay | undefined): Promise<string> => {
    if (!call.streams) return ask(call, [nonce, number, ...call.args])
    const answer = await ask(call, [nonce, number, before?.number ?? '', ...call.args])
    if (answer !== EARLY) return answer
    await before?.settled
    return ask(call, [nonce, number, '', ...call.args])
  }

  const start = (call: Call): void => {
    const before = underWay.at(-1)
    const settled = askInOrder(call, ++number, before)
      .then(call.resolve, call.reject)
      .then(() => {
        underWay = underWay.filter((other) => other !== one)
        work()
      })
    const one = { number, streams: call.streams, settled }
    underWay = [...underWay, one]
  }

  const work = (): void => {
    for (let next = waiting[0]; next; next = waiting[0]) {
      const beside = next.streams && store.ready && underWay.every(({ streams }) => streams)
      if (underWay.length >= (beside ? MOST_STREAMED : 1)) return
      waiting.shift()
      start(next)
    }
  }

  const put = (streams: boolean, script: Script, args: readonly Arg[], since: number): Promise<string> =>
    new Promise((resolve, reject) => {
      waiting.push({ script, args, since, streams, resolve, reject })
      work()
    })

  return Object.freeze({
    store,
    run: (script: Script, args: readonly Arg[], since: number = clock.monotonic()) => put(false, script, args, since),
    stream: async (script: Script, args: readonly Arg[], since: number = clock.monotonic()) => {
      await put(true, script, args, since)
    },
  })
}

function passes(error: unknown): boolean {
  return error instanceof ResQueueError && error.code === 'REDIS_REFUSED' && PASSING.test(refusalOf(error.cause))
}

/**
 * Whether a failed call is without an answer. A refusal is one: the script looks at its number before anything can be
 * refused, so one that says "full" or "wrong type" did not run earlier either. But where the answer to an earlier
 * attempt was lost, a refusal of a server that starts or fails over says nothing about that one, nor does one of a
 * password that has changed meanwhile.
 */
function isUnanswered(error: unknown, wasLost: boolean): error is ResQueueError {
  if (!(error instanceof ResQueueError)) return false
  if (error.code === 'REDIS_UNAVAILABLE') return true
  return wasLost && (passes(error) || DENIED.test(refusalOf(error.cause)))
}

function unanswered(error: ResQueueError, kind: Unanswered): ResQueueError {
  return new ResQueueError('REDIS_UNAVAILABLE', error.message, {
    cause: error.cause,
    data: { ...error.data, unanswered: kind },
  })
}
