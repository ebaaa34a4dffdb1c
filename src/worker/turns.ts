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
  let nextClaim = 1
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
    const begin = (): void => {
      shift.scheduled = false
      void take(shift)
    }
    // Jobs that end in the same moment share a turn; an idle worker that is woken has nothing to wait for.
    if (shift.ends.length > 0 && slots > 1) setImmediate(begin)
    else queueMicrotask(begin)
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
      const request = { ends: sent, next, idle, base, queues: wanted > 0 ? options.queues() : [], wokenBy: token }
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
      for (const end of sent) claims[end.slot] = 0
      const stale = clock.monotonic() - reply.sentAt > STALE_MS
      for (const held of reply.held) {
        const refused = held.claim < base && sent.find((end) => end.slot === held.slot && end.claim === held.claim)
        if (refused) retryLater(refused)
        else if (stale) shift.woken = true
        else {
          claims[held.slot] = held.claim
          options.start(held)
        }
      }
      const got = reply.held.length
      if (reply.more) shift.woken = true
      else if (wanted > 0 && got >= wanted) {
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
      else {
        resting = true
        options.broken(new Error(`The reserve loop stopped: ${messageOf(error)}`, { cause: error }))
      }
    } finally {
      if (mine === generation) {
        shift.turning = false
        settle()
        if (shift.ends.length > 0 || shift.woken) schedule(shift)
      }
    }
  }

  const retryLater = (end: End): void => {
    claims[end.slot] = end.claim
    options.refused(end)
    const mine = generation
    setTimeout(() => {
      if (mine !== generation || stopped) return
      shiftOf(end.slot).ends.push(end)
      schedule(shiftOf(end.slot))
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
    end: (end) => {
      if (claims[end.slot] !== end.claim) return // of an earlier registration
      shiftOf(end.slot).ends.push(end)
      schedule(shiftOf(end.slot))
    },
    drop: (slot) => {
      claims[slot] = 0
    },
    wake: (queue = '') => {
      // A token stands for one job as a rule: a shift with an idle slot is enough, and it fetches the other if there is more.
      const able = queue === '' ? undefined : shifts.find((shift) => !shift.turning && idleOf(shift, 1).length > 0)
      for (const shift of able ? [able] : queue === '' ? shifts : shifts.slice(0, 1)) {
        shift.woken = true
        if (queue !== '' && !shift.tokens.includes(queue)) shift.tokens.push(queue)
        schedule(shift)
      }
    },
    flushed: () => (flushed() ? Promise.resolve() : new Promise((resolve) => flushWaiters.push(resolve))),
    reset: () => {
      generation++
      claims.fill(0)
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
