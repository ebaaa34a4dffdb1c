import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Registration } from '../queue/registry.ts'
import { turn, type End, type Held, type State } from '../queue/turn.ts'
import type { Patience, Store } from '../redis/store.ts'

/** A reply older than this starts no job: somebody may have taken us for dead meanwhile. Milliseconds. */
const STALE_MS = 5000
/** Between two tries to record an end that Redis refused to keep anywhere. */
const REFUSED_MS = 1000

export interface TurnOptions {
  readonly store: Store
  readonly clock: Clock
  readonly slots: number
  readonly drainMark: string
  readonly maxRecoveries: number
  readonly patience: Patience
  process(): Registration
  /** Queues in order; paused ones are skipped by the script. */
  queues(): readonly string[]
  /** How many more jobs may be taken now; 0 while paused, stopping or loading. */
  quota(): number
  /** A slot got a job. */
  start(held: Held): void
  /** After each answered turn. */
  turned(reply: { state: State; more: boolean; pausedQueues: readonly string[]; wanted: number; got: number }): void
  /** Asked for, and found nothing to send. */
  rested(): void
  /** Redis does not know this process (any more). The loop rests until `reset`. */
  gone(): void
  /** The end of a job could not be recorded anywhere: keys of another type are in the way. It is tried again. */
  refused(end: End): void
  /** The loop died of an error that repeating cannot mend. */
  broken(error: unknown): void
}

export interface TurnLoop {
  /** Slots that hold a job, or whose job's end is not acknowledged yet. */
  readonly occupied: number
  /** No call is under way and nothing waits to be sent: Redis' records and ours must agree. */
  readonly quiet: boolean
  /** Rises with every answered turn. */
  readonly count: number
  /** Ends a claim with the next turn, which also asks for the slot's next job. */
  end(end: End): void
  /** Forgets a claim without recording anything: the job is put back by a release. */
  drop(slot: number): void
  /** Asks for jobs for all idle slots; `queue` is the one whose token was taken. */
  wake(queue?: string): void
  /** Resolves when every end handed in was acknowledged, or the loop was stopped. */
  flushed(): Promise<void>
  /** A new registration: nothing is held, claims begin anew. */
  reset(): void
  /** No more turns. */
  stop(): void
}

/**
 * The reserve loop: one call outstanding at a time; what ends meanwhile gathers and goes with the next, so that batches
 * grow by themselves under load.
 */
export function startTurns(options: TurnOptions): TurnLoop {
  const { store, clock, slots, patience } = options
  const claims = new Array<number>(slots).fill(0)
  let ends: End[] = []
  let nextClaim = 1
  let woken = false
  let wokenBy = ''
  let turning = false
  let scheduled = false
  let resting = false
  let stopped = false
  let generation = 0
  let count = 0
  const flushWaiters: (() => void)[] = []

  const schedule = (): void => {
    if (scheduled || turning || resting || stopped) return
    scheduled = true
    const begin = (): void => {
      scheduled = false
      void take()
    }
    // Jobs that end in the same moment share a turn; an idle worker that is woken has nothing to wait for.
    if (ends.length > 0 && slots > 1) setImmediate(begin)
    else queueMicrotask(begin)
  }

  const settle = (): void => {
    if (ends.length > 0 || turning) return
    for (const resolve of flushWaiters.splice(0)) resolve()
  }

  const take = async (): Promise<void> => {
    if (turning || resting || stopped) return
    const sent = ends
    if (sent.length === 0 && !woken) return settle()
    turning = true
    ends = []
    const quota = options.quota()
    const next = Math.min(sent.length, quota)
    const idle: number[] = []
    for (let slot = 0; slot < slots && next + idle.length < quota; slot++) {
      if (claims[slot] === 0) idle.push(slot)
    }
    const wanted = next + idle.length
    const token = wokenBy
    woken = false
    wokenBy = ''
    if (sent.length === 0 && wanted === 0 && token === '') {
      turning = false
      settle()
      options.rested()
      return
    }
    const base = nextClaim
    nextClaim += wanted
    const mine = generation
    try {
      const request = { ends: sent, next, idle, base, queues: wanted > 0 ? options.queues() : [], wokenBy: token }
      const { drainMark, maxRecoveries } = options
      const reply = await turn(store, options.process(), { ...request, drainMark, maxRecoveries }, patience)
      if (mine !== generation) return
      if (reply.kind === 'gone') {
        resting = true
        options.gone()
        return
      }
      count++
      for (const end of sent) claims[end.slot] = 0
      const stale = clock.monotonic() - reply.sentAt > STALE_MS
      for (const held of reply.held) {
        const refused = held.claim < base && sent.find((end) => end.slot === held.slot && end.claim === held.claim)
        if (refused) retryLater(refused)
        else if (stale) woken = true
        else {
          claims[held.slot] = held.claim
          options.start(held)
        }
      }
      if (reply.more) woken = true
      turning = false
      options.turned({
        state: reply.state,
        more: reply.more,
        pausedQueues: reply.pausedQueues,
        wanted,
        got: reply.held.length,
      })
    } catch (error) {
      if (mine !== generation || stopped) return
      ends = [...sent, ...ends]
      if (patience.signal?.aborted) stopped = true
      else {
        resting = true
        options.broken(new Error(`The reserve loop stopped: ${messageOf(error)}`, { cause: error }))
      }
    } finally {
      if (mine === generation) {
        turning = false
        if (stopped) for (const resolve of flushWaiters.splice(0)) resolve()
        else settle()
        if (ends.length > 0 || woken) schedule()
      }
    }
  }

  const retryLater = (end: End): void => {
    claims[end.slot] = end.claim
    options.refused(end)
    const mine = generation
    setTimeout(() => {
      if (mine !== generation || stopped) return
      ends.push(end)
      schedule()
    }, REFUSED_MS)
  }

  return {
    get occupied() {
      return claims.reduce((sum, claim) => sum + (claim === 0 ? 0 : 1), 0)
    },
    get quiet() {
      return !turning && !scheduled && ends.length === 0
    },
    get count() {
      return count
    },
    end: (end) => {
      if (claims[end.slot] !== end.claim) return // of an earlier registration
      ends.push(end)
      schedule()
    },
    drop: (slot) => {
      claims[slot] = 0
    },
    wake: (queue = '') => {
      woken = true
      if (queue !== '') wokenBy = queue
      schedule()
    },
    flushed: () =>
      stopped || (ends.length === 0 && !turning)
        ? Promise.resolve()
        : new Promise((resolve) => flushWaiters.push(resolve)),
    reset: () => {
      generation++
      claims.fill(0)
      ends = []
      nextClaim = 1
      resting = false
      turning = false
    },
    stop: () => {
      stopped = true
      for (const resolve of flushWaiters.splice(0)) resolve()
    },
  }
}
