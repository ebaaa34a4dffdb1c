import { messageOf, ResQueueError } from '../errors.ts'
import { turn, type End, type Held } from '../queue/turn.ts'
import { createAhead, type Ahead } from './ahead.ts'
import { createLateness, type Lateness } from './lateness.ts'
import { createReach } from './reach.ts'
import { createSlots } from './slots.ts'
import { isStale, type TurnOptions } from './turnoptions.ts'

/** Between two tries to record an end that Redis refused to keep anywhere. */
const REFUSED_MS = 1000

/** A worker that goes from job to job wakes others to what it leaves at least this often. Milliseconds. */
const RING_MS = 100

/** From so many slots on they take their turns in two shifts: one is answered while the other's jobs run. */
const TWO_SHIFTS = 16

export interface TurnLoop {
  /** Slots that hold a job, or whose job's end is not acknowledged yet. */
  readonly occupied: number
  /** No call is under way and nothing waits to be sent: Redis' records and ours must agree. */
  readonly quiet: boolean
  /** Rises with every answered turn. */
  readonly count: number
  /** Ends a claim with the next turn, which also asks for the slot's next job. */
  end(end: End): void
  /** Asks for jobs for all idle slots; `queue` is the one whose token was taken. */
  wake(queue?: string): void
  /**
   * Brings records of idle slots that we do not know of, and takes nothing new, so that it may be asked for at any
   * time. What they hold runs, or goes back where this worker was told to take no more.
   */
  recall(): void
  /**
   * Waits for a token with a turn behind it that asks for jobs for all slots idle now. Resolves when both were
   * answered.
   */
  readonly ahead: Ahead
  /** Resolves when every end handed in was acknowledged, or the loop was stopped. */
  flushed(): Promise<void>
  /** A new registration: nothing is held, claims begin anew. */
  reset(): void
  /** No more turns. */
  stop(): void
}

/** Slots that take their turns together, with one call outstanding at a time. */
interface Shift {
  readonly slots: readonly number[]
  ends: End[]
  /** Jobs that its outstanding call asks for. */
  asked: number
  lateness: Lateness
  woken: boolean
  /** Its next turn is one that recalls. */
  recalling: boolean
  /** Queues whose tokens woke it; each is named in a turn, which rings again where work is left. */
  tokens: string[]
  turning: boolean
  scheduled: boolean
}

/**
 * The reserve loop. What ends while a call is outstanding gathers and goes with the next, so that batches grow by
 * themselves under load. Calls of two shifts go out in the order of their claim numbers; one that is sent again late,
 * behind the other's, pops nothing and is told to ask anew.
 */
export function startTurns(options: TurnOptions): TurnLoop {
  const { store, clock, patience } = options
  const slots = createSlots(options.slots)
  const shifts = divide(slots.all, options.slots < TWO_SHIFTS ? 1 : 2)
  const shiftOf = (slot: number): Shift => shifts[slot % shifts.length] as Shift
  let rungAt = -Infinity
  const reach = createReach()
  let resting = false
  let stopped = false
  /** Rises with every registration. */
  let era = 0
  let count = 0
  const flushWaiters: (() => void)[] = []

  const schedule = (shift: Shift): void => {
    if (shift.scheduled || shift.turning || resting || stopped) return
    shift.scheduled = true
    const go = (): void => {
      shift.scheduled = false
      void take(shift)
    }
    // Jobs that end in the same moment share a turn; an idle worker that is woken has nothing to wait for.
    if (shift.ends.length > 0 && options.slots > 1) setImmediate(go)
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
    const recalling = shift.recalling
    if (sent.length === 0 && !shift.woken && !recalling) return settle()
    shift.turning = true
    shift.ends = []
    shift.recalling = false
    const quota = Math.max(
      shifts.reduce((left, { asked }) => left - asked, options.quota()),
      0,
    )
    const { lateness } = shift
    const most = Math.min(quota, lateness.most)
    const next = recalling ? 0 : Math.min(sent.length, most - slots.idle(lateness.slots, most).length)
    const inOrder = lateness.slots.length > 0 ? [...new Set([...lateness.slots, ...shift.slots])] : shift.slots
    const idle = slots.idle(inOrder, recalling ? lateness.most : most - next)
    const wanted = next + idle.length
    const token = recalling ? '' : (shift.tokens.shift() ?? '')
    shift.woken = recalling || shift.tokens.length > 0 || most < quota
    if (sent.length === 0 && wanted === 0 && token === '') {
      shift.turning = false
      settle()
      options.rested()
      return
    }
    const base = slots.number(wanted)
    shift.asked = recalling ? 0 : wanted
    const mine = era
    try {
      const all = wanted > 0 && !recalling ? options.queues() : []
      const queues = reach.within(all)
      const ring = token !== '' || idle.length > 0 || clock.monotonic() - rungAt >= RING_MS
      if (ring) rungAt = clock.monotonic()
      const request = { ends: sent, next, idle, base, queues, wokenBy: token, ring }
      const { drainMark, maxRecoveries } = options
      const reply = await turn(store, options.process(), { ...request, drainMark, maxRecoveries }, patience)
      if (mine !== era) return
      shift.asked = 0
      if (reply.kind === 'gone') {
        resting = true
        options.gone()
        return
      }
      count++
      // The turn behind a token may have brought the slot's next job before this answer did.
      for (const { slot, claim } of sent) if (slots.holds(slot, claim)) slots.free(slot)
      const stale = isStale(reply, clock)
      const got = reply.held.length
      lateness.learn(stale, idle, reply.held)
      const isCut = reach.learn(all, queues, wanted, reply.held) && reply.state === ''
      for (const held of reply.held) {
        const refused = held.claim < base && sent.find((end) => end.slot === held.slot && end.claim === held.claim)
        if (refused) retryLater(refused)
        else if (stale) shift.woken = true
        else if (slots.holds(held.slot, held.claim)) continue
        else if (recalling && !options.willing()) giveBack(held)
        else begin(held)
      }
      if (isCut) shift.woken = true
      if (reply.more) {
        shift.woken = true
        slots.passAhead() // the turn that waited for a token has overtaken this one
      } else if (wanted > 0 && got >= wanted) {
        // More may wait than this shift could take.
        for (const other of shifts) {
          if (other === shift || other.turning || slots.idle(other.slots, 1).length === 0) continue
          other.woken = true
          schedule(other)
        }
      }
      shift.turning = false
      const { state, more, quarantined, pausedQueues } = reply
      options.turned({ state, more, quarantined, pausedQueues, wanted: recalling || isCut ? got : wanted, got })
    } catch (error) {
      if (mine !== era || stopped) return
      shift.ends = [...sent, ...shift.ends]
      if (patience.signal?.aborted) stopped = true
      else stopFor(error)
    } finally {
      if (mine === era) {
        shift.turning = false
        settle()
        if (shift.ends.length > 0 || shift.woken) schedule(shift)
      }
    }
  }

  const stopFor = (error: unknown): void => {
    resting = true
    const isTold = error instanceof ResQueueError
    options.broken(isTold ? error : new Error(`The reserve loop stopped: ${messageOf(error)}`, { cause: error }))
  }

  const begin = (held: Held): void => {
    slots.hold(held.slot, held.claim)
    options.start(held)
  }

  /** For what comes although this worker was told to take no more. */
  const giveBack = ({ slot, claim, queue, reservedAt }: Held): void => {
    slots.hold(slot, claim)
    const ending = { verb: 'return', counted: false } as const
    end({ slot, claim, queue, reservedAt, status: '', forget: false, ending })
  }

  const end = (one: End): void => {
    if (!slots.holds(one.slot, one.claim)) return // of an earlier registration
    shiftOf(one.slot).ends.push(one)
    schedule(shiftOf(one.slot))
  }

  const wake = (queue = ''): void => {
    // A token stands for one job as a rule: a shift with an idle slot is enough, and it fetches the other if there is
    // more.
    const able =
      queue === '' ? undefined : shifts.find((shift) => !shift.turning && slots.idle(shift.slots, 1).length > 0)
    for (const shift of able ? [able] : queue === '' ? shifts : shifts.slice(0, 1)) {
      shift.woken = true
      if (queue !== '' && !shift.tokens.includes(queue)) shift.tokens.push(queue)
      schedule(shift)
    }
  }

  const recall = (): void => {
    for (const shift of shifts) {
      shift.recalling = true
      schedule(shift)
    }
  }

  const retryLater = (late: End): void => {
    slots.hold(late.slot, late.claim)
    options.refused(late)
    const mine = era
    setTimeout(() => {
      if (mine !== era || stopped) return
      shiftOf(late.slot).ends.push(late)
      schedule(shiftOf(late.slot))
    }, REFUSED_MS)
  }

  const ahead = createAhead(options, slots, {
    get era() {
      return era
    },
    get stopped() {
      return stopped
    },
    answered: () => void count++,
    begin,
    giveBack,
    wake,
    gone: () => {
      resting = true
      options.gone()
    },
    stopFor,
  })

  return {
    get occupied() {
      return slots.occupied
    },
    get quiet() {
      return shifts.every(({ turning, scheduled, ends }) => !turning && !scheduled && ends.length === 0)
    },
    get count() {
      return count
    },
    end,
    wake,
    recall,
    ahead,
    flushed: () => (flushed() ? Promise.resolve() : new Promise((resolve) => flushWaiters.push(resolve))),
    reset: () => {
      era++
      slots.reset()
      for (const shift of shifts) Object.assign(shift, unregistered())
      resting = false
    },
    stop: () => {
      stopped = true
      for (const resolve of flushWaiters.splice(0)) resolve()
    },
  }
}

function divide(slots: readonly number[], count: number): Shift[] {
  return Array.from({ length: count }, (_, n) => ({
    slots: slots.filter((slot) => slot % count === n),
    woken: false,
    scheduled: false,
    ...unregistered(),
  }))
}

/** What a shift knows before its first turn under a registration. */
function unregistered(): Pick<Shift, 'ends' | 'asked' | 'lateness' | 'tokens' | 'recalling' | 'turning'> {
  return { ends: [], asked: 0, lateness: createLateness(), tokens: [], recalling: false, turning: false }
}
