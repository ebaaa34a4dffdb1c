import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Registration } from '../queue/registry.ts'
import { turn, turnOnToken, type End, type Held, type State, type TurnReply } from '../queue/turn.ts'
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
  /** Whether this worker was told neither to pause nor to stop. */
  willing(): boolean
  /** The number of jobs is limited: none is asked for ahead of its token, or there might be more than are wanted. */
  readonly limited: boolean
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
  /** Waits for a token with a turn behind it that asks for jobs for all slots idle now. Resolves when both were answered. */
  readonly ahead: Ahead
  /** Resolves when every end handed in was acknowledged, or the loop was stopped. */
  flushed(): Promise<void>
  /** A new registration: nothing is held, claims begin anew. */
  reset(): void
  /** No more turns. */
  stop(): void
}

/** Waits on a blocking connection. Rejects where waiting is refused, or when `signal` aborts. */
export type Ahead = (
  blocking: Store,
  wait: { readonly queues: readonly string[]; readonly seconds: number },
  signal: AbortSignal,
) => Promise<void>

/**
 * How far above the next claim number a turn that waits for a token takes its own: turns that go out meanwhile stay below, so
 * that it is not too late when its token comes.
 */
const AHEAD = 1000

/** A worker that goes from job to job wakes others to what it leaves at least this often. Milliseconds. */
const RING_MS = 100

/** From so many slots on they take their turns in two shifts: one is answered while the other's jobs run. */
const TWO_SHIFTS = 16

/** Slots that take their turns together, with one call outstanding at a time. */
interface Shift {
  readonly slots: readonly number[]
  ends: End[]
  /** Jobs that its outstanding call asks for. */
  asked: number
  woken: boolean
  /** Queues whose tokens woke it; each is named in a turn, which rings again where work is left. */
  tokens: string[]
  turning: boolean
  scheduled: boolean
}

/**
 * The reserve loop. What ends while a call is outstanding gathers and goes with the next, so that batches grow by themselves
 * under load. Calls of two shifts go out in the order of their claim numbers; one that is sent again late, behind the other's,
 * pops nothing and is told to ask anew.
 */
export function startTurns(options: TurnOptions): TurnLoop {
  const { store, clock, slots, patience } = options
  const claims = new Array<number>(slots).fill(0)
  const shifts = divide(slots, slots < TWO_SHIFTS ? 1 : 2)
  const shiftOf = (slot: number): Shift => shifts[slot % shifts.length] as Shift
  /** The last claim that each slot has started. */
  const started = new Array<number>(slots).fill(0)
  let nextClaim = 1
  /** Above the claims of the turn that waits for a token. */
  let afterAhead = 0
  let rungAt = -Infinity
  let resting = false
  let stopped = false
  let generation = 0
  let count = 0
  const flushWaiters: (() => void)[] = []

  const idleOf = (shift: Shift, most: number): number[] => {
    const idle: number[] = []
    for (const slot of shift.slots) {
      if (idle.length >= most) break
      if (claims[slot] === 0) idle.push(slot)
    }
    return idle
  }

  const schedule = (shift: Shift): void => {
    if (shift.scheduled || shift.turning || resting || stopped) return
    shift.scheduled = true
    const go = (): void => {
      shift.scheduled = false
      void take(shift)
    }
    // Jobs that end in the same moment share a turn; an idle worker that is woken has nothing to wait for.
    if (shift.ends.length > 0 && slots > 1) setImmediate(go)
    else queueMicrotask(go)
  }

  const flushed = (): boolean => stopped || shifts.every(({ ends, turning }) => ends.length === 0 && !turning)
  const settle = (): void => {
    if (!flushed()) return
    for (const resolve of flushWaiters.splice(0)) resolve()
  }

  const take = async (shift: Shift): Promise<void> => {
    if (shift.turning || resting || stopped) return
    const sent = shift.ends
    if (sent.length === 0 && !shift.woken) return settle()
    shift.turning = true
    shift.ends = []
    const quota = Math.max(
      shifts.reduce((left, { asked }) => left - asked, options.quota()),
      0,
    )
    const next = Math.min(sent.length, quota)
    const idle = idleOf(shift, quota - next)
    const wanted = next + idle.length
    const token = shift.tokens.shift() ?? ''
    shift.woken = shift.tokens.length > 0
    if (sent.length === 0 && wanted === 0 && token === '') {
      shift.turning = false
      settle()
      options.rested()
      return
    }
    const base = nextClaim
    nextClaim += wanted
    shift.asked = wanted
    const mine = generation
    try {
      const queues = wanted > 0 ? options.queues() : []
      const ring = token !== '' || idle.length > 0 || clock.monotonic() - rungAt >= RING_MS
      if (ring) rungAt = clock.monotonic()
      const request = { ends: sent, next, idle, base, queues, wokenBy: token, ring }
      const { drainMark, maxRecoveries } = options
      const reply = await turn(store, options.process(), { ...request, drainMark, maxRecoveries }, patience)
      if (mine !== generation) return
      shift.asked = 0
      if (reply.kind === 'gone') {
        resting = true
        options.gone()
        return
      }
      count++
      // The turn behind a token may have brought the slot's next job before this answer did.
      for (const { slot, claim } of sent) if (claims[slot] === claim) claims[slot] = 0
      const stale = isStale(reply)
      for (const held of reply.held) {
        const refused = held.claim < base && sent.find((end) => end.slot === held.slot && end.claim === held.claim)
        if (refused) retryLater(refused)
        else if (stale) shift.woken = true
        else if (claims[held.slot] !== held.claim) begin(held)
      }
      const got = reply.held.length
      if (reply.more) {
        shift.woken = true
        nextClaim = Math.max(nextClaim, afterAhead) // the turn that waited for a token has overtaken this one
      } else if (wanted > 0 && got >= wanted) {
        // More may wait than this shift could take.
        for (const other of shifts) {
          if (other === shift || other.turning || idleOf(other, 1).length === 0) continue
          other.woken = true
          schedule(other)
        }
      }
      shift.turning = false
      options.turned({ state: reply.state, more: reply.more, pausedQueues: reply.pausedQueues, wanted, got })
    } catch (error) {
      if (mine !== generation || stopped) return
      shift.ends = [...sent, ...shift.ends]
      if (patience.signal?.aborted) stopped = true
      else stopFor(error)
    } finally {
      if (mine === generation) {
        shift.turning = false
        settle()
        if (shift.ends.length > 0 || shift.woken) schedule(shift)
      }
    }
  }

  const stopFor = (error: unknown): void => {
    resting = true
    options.broken(new Error(`The reserve loop stopped: ${messageOf(error)}`, { cause: error }))
  }

  const isStale = ({ sentAt }: { sentAt: number }): boolean => clock.monotonic() - sentAt > STALE_MS

  const begin = (held: Held): void => {
    claims[held.slot] = held.claim
    started[held.slot] = held.claim
    options.start(held)
  }

  const ahead: Ahead = async (blocking, wait, signal) => {
    const idle = options.limited ? [] : shifts.flatMap((shift) => idleOf(shift, slots))
    const base = nextClaim + AHEAD
    afterAhead = base + idle.length
    const mine = generation
    const request = { ends: [], next: 0, idle, base, queues: options.queues(), wokenBy: '', ring: true }
    const { drainMark, maxRecoveries } = options
    const insistent = { deadlineMs: Infinity, signal, stubborn: true }
    const { token, reply, refused } = await turnOnToken(
      blocking,
      options.process(),
      { ...request, drainMark, maxRecoveries },
      wait,
      insistent,
    )
    if (mine === generation && !stopped) {
      nextClaim = Math.max(nextClaim, afterAhead)
      if (!reply) wake(token)
      else if (reply.kind === 'gone') {
        resting = true
        options.gone()
      } else {
        try {
          tokenAnswered(reply, token, base, idle.length)
        } catch (error) {
          stopFor(error)
        }
      }
    }
    if (refused) throw refused
  }

  /** Slots that were idle when it was asked may have got jobs from other turns by now, and even have ended them. */
  const tokenAnswered = (reply: TurnReply & { kind: 'ok' }, token: string, base: number, wanted: number): void => {
    count++
    const news = reply.held.filter(({ slot, claim }) => claim > (started[slot] as number))
    const got = news.filter(({ claim }) => claim >= base)
    const stale = isStale(reply)
    for (const held of news) {
      if (!options.willing()) giveBack(held)
      else if (!stale) begin(held)
    }
    // What its token stood for was handed out, unless the slots were filled by others.
    const served = reply.state === '' && !stale && (got.length < wanted || got.some(({ queue }) => queue === token))
    if (reply.more || (stale && news.length > 0) || (token !== '' && !served)) wake(token)
    options.turned({
      state: reply.state,
      more: reply.more,
      pausedQueues: reply.pausedQueues,
      wanted,
      got: got.length,
    })
  }

  /** It was asked for before this worker itself was told to take no more; what was granted before others paused or drained it runs. */
  const giveBack = ({ slot, claim, queue, reservedAt }: Held): void => {
    claims[slot] = claim
    started[slot] = claim
    const ending = { verb: 'return', counted: false } as const
    end({ slot, claim, queue, reservedAt, status: '', forget: false, ending })
  }

  const end = (one: End): void => {
    if (claims[one.slot] !== one.claim) return // of an earlier registration
    shiftOf(one.slot).ends.push(one)
    schedule(shiftOf(one.slot))
  }

  const wake = (queue = ''): void => {
    // A token stands for one job as a rule: a shift with an idle slot is enough, and it fetches the other if there is more.
    const able = queue === '' ? undefined : shifts.find((shift) => !shift.turning && idleOf(shift, 1).length > 0)
    for (const shift of able ? [able] : queue === '' ? shifts : shifts.slice(0, 1)) {
      shift.woken = true
      if (queue !== '' && !shift.tokens.includes(queue)) shift.tokens.push(queue)
      schedule(shift)
    }
  }

  const retryLater = (late: End): void => {
    claims[late.slot] = late.claim
    options.refused(late)
    const mine = generation
    setTimeout(() => {
      if (mine !== generation || stopped) return
      shiftOf(late.slot).ends.push(late)
      schedule(shiftOf(late.slot))
    }, REFUSED_MS)
  }

  return {
    get occupied() {
      return claims.reduce((sum, claim) => sum + (claim === 0 ? 0 : 1), 0)
    },
    get quiet() {
      return shifts.every(({ turning, scheduled, ends }) => !turning && !scheduled && ends.length === 0)
    },
    get count() {
      return count
    },
    end,
    drop: (slot) => {
      claims[slot] = 0
    },
    wake,
    ahead,
    flushed: () => (flushed() ? Promise.resolve() : new Promise((resolve) => flushWaiters.push(resolve))),
    reset: () => {
      generation++
      claims.fill(0)
      started.fill(0)
      afterAhead = 0
      for (const shift of shifts) Object.assign(shift, { ends: [], asked: 0, tokens: [], turning: false })
      nextClaim = 1
      resting = false
    },
    stop: () => {
      stopped = true
      for (const resolve of flushWaiters.splice(0)) resolve()
    },
  }
}

function divide(slots: number, count: number): Shift[] {
  return Array.from({ length: count }, (_, n) => ({
    slots: Array.from({ length: Math.ceil((slots - n) / count) }, (__, i) => n + i * count),
    ends: [],
    asked: 0,
    woken: false,
    tokens: [],
    turning: false,
    scheduled: false,
  }))
}
