import type { Flow } from '../../queue/demand.ts'
import type { ForeignWork } from './foreign.ts'
import type { QueueMemory, QueueObservation, Stamped } from './types.ts'

/** Time constants of the averages, in seconds. */
const RATE_SECONDS = 60
export const FAST_SECONDS = 10
const SERVICE_SECONDS = 300
const RECENT_SECONDS = 45
/**
 * How fast slots start jobs is told over so long, or twice as long as a job runs, since what began together ends
 * together; over no longer than the service time.
 */
const LEAST_PACE_SECONDS = 6
const PACE_JOBS = 2

/**
 * What a job is taken to run as long as nobody knows; rather too long, because the first jobs wait for the pods that
 * this orders.
 */
const UNKNOWN_SERVICE_SECONDS = 1.5

/** Ends after which the service time is known, and after which it is known well. */
export const KNOWN_ENDS = 3
export const SURE_ENDS = 20

/**
 * How many times the mean age of what runs the service time can be: on average jobs that are alike are half through.
 */
const AGE_FACTOR = 2

/** Standard deviations that a rate may be off by chance. */
const NOISE_DEVIATIONS = 2.5

/** Arrivals that there may have been on average when none was counted: with 95 % of certainty. */
const RARE_ARRIVALS = 3

const PRIOR_ENDS = 5

/** Points of the arrival curve that are kept, at most: the age of what waits is known to a part of the target. */
const CURVE_POINTS = 24

/** What a queue looks like when it is seen for the first time. */
export function firstSight(
  observed: QueueObservation,
  foreign: ForeignWork,
  serviceSeconds: number | null,
  now: number,
): QueueMemory {
  const age = observed.headAgeSeconds ?? 0
  return {
    waiting: observed.waiting,
    flow: totalOf(observed.flow, foreign.flow),
    runningMs: observed.runningMs,
    rate: 0,
    fastRate: 0,
    lastRate: 0,
    sustainedRate: 0,
    busy: 0,
    ended: 0,
    endedBusy: 0,
    came: observed.waiting,
    recentBusy: 0,
    recentEnded: 0,
    paceBusy: 0,
    paceStarted: 0,
    ran: 0,
    aged: 0,
    meanAge: 0,
    meanRunning: observed.running + foreign.running,
    serviceSeconds: serviceSeconds ?? UNKNOWN_SERVICE_SECONDS,
    seen: serviceSeconds === null ? 0 : SURE_ENDS,
    arrived: [
      [now - age * 1000, 0],
      [now, observed.waiting],
    ],
  }
}

/**
 * The memory of a queue after another look at it, `seconds` after the last one. `weight`: for how many seconds what
 * came of it meanwhile counts; fewer where nobody looked for a while.
 */
export function followQueue(
  old: QueueMemory,
  observed: QueueObservation,
  foreign: ForeignWork,
  latencySeconds: number,
  { seconds, weight, now }: { readonly seconds: number; readonly weight: number; readonly now: number },
): QueueMemory {
  const flow = totalOf(observed.flow, foreign.flow)
  // Smaller counters than before were begun anew: what they had counted is unknown.
  const isAnew = flow.started < old.flow.started || flow.ended < old.flow.ended || flow.returned < old.flow.returned
  const started = isAnew ? 0 : flow.started - old.flow.started
  const ended = isAnew ? 0 : flow.ended - old.flow.ended
  // A job that is put back has left its slot as well, and arrives again.
  const left = isAnew ? 0 : ended + flow.returned - old.flow.returned
  const ran = isAnew ? 0 : flow.busyMs - old.flow.busyMs + observed.runningMs - old.runningMs
  const busy = Math.max(0, ran) / 1000
  const arrivals = Math.max(0, observed.waiting - old.waiting + started)

  const average = (then: number, present: number, constant: number): number => {
    const keep = Math.exp(-weight / constant)
    return then * keep + present * (1 - keep)
  }
  const sum = (then: number, more: number, constant: number): number => then * Math.exp(-weight / constant) + more
  const flowed = (then: number, more: number, constant: number): number =>
    sum(then, more * (weight / seconds), constant)
  const service = serviceOf(old)
  const paceSeconds = Math.min(Math.max(LEAST_PACE_SECONDS, PACE_JOBS * service), SERVICE_SECONDS)
  const lastRate = arrivals / seconds
  const slowRate = average(old.rate, lastRate, Math.min(Math.max(service, RATE_SECONDS), SERVICE_SECONDS))
  const fastRate = average(old.fastRate, lastRate, FAST_SECONDS)
  const next = {
    waiting: observed.waiting,
    flow,
    runningMs: observed.runningMs,
    // Jobs longer than the target need a slot each, which the backlog asks for in time: nothing has to be foreseen of
    // them.
    rate:
      service > latencySeconds
        ? slowRate
        : Math.min(Math.max(slowRate, leastRate(fastRate, 2 * FAST_SECONDS)), mostRate(fastRate, 2 * FAST_SECONDS)),
    fastRate,
    lastRate,
    sustainedRate: Math.min(lastRate, old.lastRate),
    busy: flowed(old.busy, busy, SERVICE_SECONDS),
    ended: flowed(old.ended, left, SERVICE_SECONDS),
    came: arrivals,
    endedBusy: flowed(old.endedBusy, isAnew ? 0 : (flow.busyMs - old.flow.busyMs) / 1000, SERVICE_SECONDS),
    recentBusy: flowed(old.recentBusy, busy, RECENT_SECONDS),
    recentEnded: flowed(old.recentEnded, left, RECENT_SECONDS),
    paceBusy: flowed(old.paceBusy, busy, paceSeconds),
    paceStarted: flowed(old.paceStarted, started, paceSeconds),
    ran: sum(old.ran, observed.running, SERVICE_SECONDS),
    aged: sum(old.aged, observed.runningMs / 1000, SERVICE_SECONDS),
    meanAge: observed.running === 0 ? old.meanAge : blend(old, observed.runningMs / 1000 / observed.running, weight),
    meanRunning: average(old.meanRunning, observed.running + foreign.running, FAST_SECONDS),
    seen: Math.min(SURE_ENDS, old.seen + ended),
    arrived: extendCurve(old, observed.waiting, arrivals, latencySeconds, now),
  }
  // Ends long ago say less and less: the estimate they gave stays as one more end.
  const decayed = next.ended < 1 && old.ended >= 1
  return { ...next, serviceSeconds: decayed ? serviceOf(old) : old.serviceSeconds }
}

/**
 * Mean seconds that a job runs, with one job of the earlier estimate as prior. As those that ended ran; or more, where
 * what runs has run for so long that they cannot be all there is: at most all time that slots were busy over the jobs
 * that left them, which is right for jobs longer than the memory as well, but too much while a wave of them is on its
 * way. Jobs that began together are all of one age: once it is known how long jobs run, an age below that says nothing.
 */
export function serviceOf({ busy, ended, endedBusy, serviceSeconds, meanAge, seen }: QueueMemory): number {
  const ofEnded = (endedBusy + serviceSeconds) / (ended + 1)
  const censored = (busy + serviceSeconds) / (ended + 1)
  const known = seen >= SURE_ENDS ? ofEnded : 0
  return Math.max(ofEnded, Math.min(censored, AGE_FACTOR * meanAge - known))
}

/** Whether the service time was known well, but hardly a job has ended for minutes. */
export function isStale({ seen, recentEnded }: QueueMemory): boolean {
  return seen >= SURE_ENDS && recentEnded < 1
}

/** Ends seen in all queues, as far as it takes to know the service time. */
export function endsSeen(memories: Readonly<Record<string, QueueMemory>>): number {
  return Object.values(memories).reduce((ends, { seen }) => ends + seen, 0)
}

/** The least and the most that a rate is likely to be, if `rate` was counted over so many seconds. */
export function leastRate(rate: number, seconds: number): number {
  return Math.max(0, rate - NOISE_DEVIATIONS * Math.sqrt(rate / seconds))
}

function mostRate(rate: number, seconds: number): number {
  return rate + NOISE_DEVIATIONS * Math.sqrt(rate / seconds) + RARE_ARRIVALS / seconds
}

/**
 * The same over the last 45 seconds, with a few jobs of the longer estimate as prior; never less than that one. Not
 * before twice as many have ended as run: those that run count as busy, but not as ended yet.
 */
export function recentServiceOf(memory: QueueMemory): number {
  const long = serviceOf(memory)
  return memory.ended < Math.max(SURE_ENDS, 2 * memory.meanRunning)
    ? long
    : Math.max(long, (memory.recentBusy + PRIOR_ENDS * long) / (memory.recentEnded + PRIOR_ENDS))
}

/**
 * Mean seconds until a busy slot is free, E[S²] ÷ 2E[S]: by the inspection paradox as much as the mean age of what
 * runs. Half of the service time when all jobs are alike, many times of it when a few are very long.
 */
export function residualOf(memory: QueueMemory): number {
  const { ran, aged } = memory
  return Math.max(serviceOf(memory) / 2, ran > 0 ? aged / ran : 0)
}

/**
 * When the jobs that wait were put in: pairs of a time and how many of them had arrived until then, the latest last.
 */
export function waitingCurve({ arrived, waiting }: QueueMemory): readonly Stamped[] {
  const total = arrived.at(-1)?.[1] ?? 0
  const head = total - waiting
  return arrived
    .filter(([, count], i) => count > head || (arrived[i + 1]?.[1] ?? 0) > head)
    .map(([at, count]) => [at, Math.max(0, count - head)])
}

/**
 * The mean age as the last looks found it. Until a job has ended it only grows, though other jobs begin: none is known
 * to be shorter.
 */
function blend({ meanAge, seen }: QueueMemory, present: number, seconds: number): number {
  if (seen === 0) return Math.max(meanAge, present)
  const keep = meanAge === 0 ? 0 : Math.exp(-seconds / FAST_SECONDS)
  return meanAge * keep + present * (1 - keep)
}

function totalOf(ours: Flow, foreign: Flow): Flow {
  return {
    started: ours.started + foreign.started,
    ended: ours.ended + foreign.ended,
    returned: ours.returned + foreign.returned,
    busyMs: ours.busyMs + foreign.busyMs,
  }
}

function extendCurve(
  old: QueueMemory,
  waiting: number,
  arrivals: number,
  latencySeconds: number,
  now: number,
): readonly Stamped[] {
  if (waiting === 0) return [[now, 0]]
  const [, last] = old.arrived.at(-1) as Stamped
  const total = Math.max(last + arrivals, waiting)
  const head = total - waiting
  // What has started is of no interest any more, but for the last point before the head.
  const first = old.arrived.findLastIndex(([, count]) => count <= head)
  const kept = old.arrived.slice(Math.max(0, first))
  const before = kept.at(-2)
  const isDense = before !== undefined && kept.length > 2 && now - before[0] < (latencySeconds * 1000) / CURVE_POINTS
  const points = isDense ? kept.slice(0, -1) : kept
  const oldest = now - 2 * latencySeconds * 1000
  // Beyond twice the target it is late, however late: those points become one.
  const late = points.findLastIndex(([at]) => at < oldest)
  return [...(late > 0 ? points.slice(late) : points), [now, total]]
}
