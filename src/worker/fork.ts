import { sleep } from '../clock.ts'
import { defined } from '../defined.ts'
import { messageOf } from '../errors.ts'
import type { Addon } from './addon.ts'
import {
  MAX_PAUSE_MS,
  MAX_SPARE,
  MAX_TRIES,
  PAUSE_MS,
  REFILL_MS,
  type Backend,
  type BackendTrouble,
  type RunControl,
} from './backend.ts'
import type { EngineOptions, JobPolicy, JobRun } from './engine.ts'
import { signalGroup } from './jobprocess.ts'
import { sayObstacles } from './obstacles.ts'
import type { Outcome } from './outcome.ts'
import { createSeat, type Seat } from './seat.ts'
import { selfTest, Unfit } from './selftest.ts'
import { reasonOf, supervise, type Supervised } from './supervise.ts'
import { startZygote, type Zygote } from './zygoteprocess.ts'

const TICK_MS = 1000
/** Ticks, not clock time: a machine that stood still has not waited. */
const BEGIN_TICKS = 5
const ZYGOTE_TICKS = 10
const MAX_HUNG = 3
/** So long ago, a child that did not begin is forgotten: on a busy machine one or two a day prove nothing. */
const HUNG_TICKS = 600

/**
 * Starts a zygote, tests it, and runs jobs in its children. Rejects with `Unfit` when job code opened what a fork would
 * share or the self-test fails, with `JOBS` or `CONFIG` when code does not load, with `UNAVAILABLE` when no process can
 * be made.
 */
export async function startFork(options: EngineOptions, addon: Addon, trouble: BackendTrouble): Promise<Backend> {
  /** By number; where there is none, how many children that number had is in `generations`. */
  const seats: (Seat | undefined)[] = []
  const generations: number[] = []
  const idle: Seat[] = []
  const ages = new Map<Seat, number>()
  let running = 0
  let hangs: number[] = []
  let ticks = 0
  let unanswered = 0
  let retiring: (() => void) | undefined
  let refilling: NodeJS.Timeout | undefined
  let over: string | undefined
  const spare = Math.min(options.concurrency, MAX_SPARE)

  const told = new Map<string, number>()
  /** Once a tick: where processes are short, every slot says so. */
  const sayLack = (level: 'warn' | 'error', lack: string): void => {
    if (told.get(lack) === ticks) return
    told.set(lack, ticks)
    options.events.notice(level, lack)
  }

  const orders = { kill: (seat: Seat, signal: number) => zygote.kill(seat.index, seat.generation, signal) }
  /** Throws where there are no descriptors left. */
  const make = (): Seat => {
    const free = seats.findIndex((seat) => seat === undefined || seat.state === 'empty')
    const index = free < 0 ? seats.length : free
    const seat = seats[index] ?? createSeat(addon, index, generations[index] ?? 0, options.jobsPerChild, orders)
    seats[index] = seat
    seat.forking()
    zygote.fork(seat.index, seat.generation, seat.childFds)
    return seat
  }
  const refill = (): void => {
    // Where children are never replaced, those that run now will wait again.
    const back = options.jobsPerChild === 0 ? running : 0
    while (!retiring && over === undefined && idle.length + back < spare) idle.push(make())
  }
  const refillNow = (): void => {
    refilling = undefined
    try {
      refill()
    } catch (error) {
      sayLack('warn', `no job process waits ahead of need: ${messageOf(error)}`)
    }
  }
  const refillSoon = (): void => {
    if (running > 1 || idle.length === 0) refillNow()
    else refilling ??= setTimeout(refillNow, REFILL_MS)
  }
  const find = (index: number, generation: number): Seat | undefined => {
    const seat = seats[index]
    return seat?.generation === generation ? seat : undefined
  }
  const leave = (seat: Seat): void => {
    const at = idle.indexOf(seat)
    if (at >= 0) idle.splice(at, 1)
    ages.delete(seat)
  }
  const vacate = (seat: Seat, clean: boolean): void => {
    leave(seat)
    if (clean) return
    seat.close()
    generations[seat.index] = seat.generation
    seats[seat.index] = undefined
  }

  const zygote: Zygote = await startZygote(addon, options, {
    forked(index, generation, pid, seconds) {
      options.events.forked('fork', seconds)
      find(index, generation)?.forked(pid)
    },
    notForked(index, generation, reason) {
      const seat = find(index, generation)
      if (!seat) return
      sayLack('error', `a job process could not be made: ${reason}`)
      vacate(seat, seat.ended({ lost: reason, unmade: true }, false))
    },
    ended(index, generation, end, begun, strays) {
      const seat = find(index, generation)
      // A stray may still write to what its job had: the next child gets another seat.
      if (seat) vacate(seat, seat.ended(end, begun) && strays === 0)
    },
    pong(index, generation, begun) {
      unanswered = 0
      find(index, generation)?.answered(begun)
    },
    died(reason) {
      over = reason
      clearInterval(ticker)
      for (const seat of seats) {
        if (seat === undefined || seat.state === 'empty') continue
        const pid = seat.pid()
        // The children are gone with the zygote; what they started themselves is still in their groups.
        signalGroup(pid, 'SIGKILL')
        vacate(seat, seat.ended({ ...defined({ pid }), lost: reason }, true))
      }
      trouble.lost(reason)
      closeAll()
    },
  })
  const closeAll = (): void => {
    for (const seat of seats.splice(0)) seat?.close()
  }

  /** Asks the zygote about children that have not begun in time, and about itself when it does not answer. */
  const ticker = setInterval(() => {
    let waiting = false
    ticks += 1
    for (const seat of seats) {
      if (seat === undefined) continue
      if (seat.state !== 'leaving' && (seat.state !== 'busy' || seat.begun())) continue
      const age = (ages.get(seat) ?? 0) + 1
      ages.set(seat, age)
      if (age < BEGIN_TICKS) continue
      // Its job is done and recorded; something in it does not let it go.
      if (seat.state === 'leaving') seat.kill('SIGKILL')
      waiting = true
      zygote.ping(seat.index, seat.generation)
    }
    unanswered = waiting ? unanswered + 1 : 0
    if (unanswered > ZYGOTE_TICKS) zygote.destroy()
  }, TICK_MS)
  ticker.unref()

  const quit = async (): Promise<void> => {
    over = 'retired'
    clearInterval(ticker)
    await zygote.quit()
    closeAll()
  }

  const { obstacles, timers } = zygote.loaded
  if (obstacles.length > 0) {
    await quit() // It has left by itself, this waits for it.
    throw new Unfit(sayObstacles(obstacles))
  }
  if (timers.length > 0) {
    const what = 'timers that were started while job modules were loaded, and unref()ed, run in every job as well'
    options.events.notice('info', `${what}: ${timers.join(', ')}`)
  }
  try {
    await selfTest(make, dismiss)
  } catch (error) {
    await quit()
    throw error
  }
  refill()

  /** Runs a job in one process. */
  const attempt = async (job: JobRun, control: RunControl): Promise<Supervised> => {
    let seat: Seat
    try {
      seat = idle.shift() ?? make()
    } catch (error) {
      const reason = messageOf(error)
      sayLack('error', `a job process could not be made: ${reason}`)
      const outcome = { kind: 'returned', reason, counted: false } as const
      return { outcome, reusable: false, hung: false, unbegun: false, unmade: true }
    }
    ages.set(seat, 0)
    const ended = supervise(seat, job, control, options)
    refillSoon()
    const supervised = await ended
    ages.delete(seat)
    // The last to run is the first to run again: what it needs is still in the caches.
    if (supervised.reusable && seat.state === 'idle') idle.unshift(seat)
    return supervised
  }

  /** A child that was tested is not to run jobs; one that is for a single job leaves by itself. */
  function dismiss(seat: Seat): void {
    if (options.jobsPerChild !== 1) seat.kill('SIGKILL')
  }

  return {
    isolation: 'fork',
    policies: new Map(zygote.loaded.policies.map((policy): [string, JobPolicy] => [policy.name, policy])),
    async run(job, control): Promise<Outcome> {
      running += 1
      try {
        for (let tries = 1, failed = 0; ; tries += 1) {
          const { outcome, hung, unbegun, unmade } = await attempt(job, control)
          if (hung) hangs = [...hangs.filter((at) => ticks - at < HUNG_TICKS), ticks]
          if (hung && hangs.length === MAX_HUNG)
            trouble.unfit(`${MAX_HUNG} forked children did not begin within ${BEGIN_TICKS} s`)
          // No processes or no memory left for the moment: given back, the job would be here again at once, and those
          // behind it.
          if (unmade && over === undefined) {
            failed += 1
            const pause = Math.min(PAUSE_MS * 2 ** (failed - 1), MAX_PAUSE_MS)
            await sleep(pause, control.signal).catch(() => undefined)
            if (control.signal.aborted) return { kind: 'cancelled', reason: reasonOf(control.signal) }
            if (over === undefined) continue
          }
          // An idle child may die at any time; the next one takes its job.
          if (!unbegun || over !== undefined || tries === MAX_TRIES) return outcome
        }
      } finally {
        running -= 1
        if (running === 0) retiring?.()
      }
    },
    async retire() {
      if (over !== undefined) return
      const drained = new Promise<void>((resolve) => (retiring = resolve))
      for (const seat of idle.splice(0)) seat.kill('SIGKILL')
      if (running > 0) await drained
      if (over === undefined) await quit()
    },
  }
}
