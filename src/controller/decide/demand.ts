import type { DemandTerms, ScalerSpec } from '../api.ts'
import { foreignRunning } from './foreign.ts'
import { own } from './records.ts'
import { replicasFor, startsBy, type DueWork, type Supply } from './plan.ts'
import { endsSeen, KNOWN_ENDS, leastRate, recentServiceOf, residualOf, serviceOf, waitingCurve } from './queue.ts'
import type { Observation, QueueMemory } from './types.ts'

/** Seconds that a pod is taken to need until one was measured. */
export const POD_START_SECONDS = 20

const DEPTH_LATENCY_SECONDS = 30

/**
 * Share of the jobs that may start late when arrivals are random, and how many standard deviations of headroom are the
 * most.
 */
const LATE_SHARE = 0.005
const MOST_DEVIATIONS = 1.5

/** Jobs of one look that may have come together by chance. */
const CHANCE_JOBS = 1.5

/** Headroom that there is in any case. */
export const LEAST_HEADROOM = 0.05

/** Waiting work is taken for so much more than it is likely to be. */
const SAFETY = 1.2

/** While the service time is unknown, as many replicas are asked for as soon as more jobs wait than one has slots. */
const COLD_REPLICAS = 4

export interface Demand {
  readonly terms: DemandTerms
  readonly waiting: number
  readonly running: number
  readonly dueSoon: number
  /** Replicas that are likely to be asked for when a pod works that is ordered now; as good as the last two looks. */
  readonly likely: number
  /** Too few jobs have ended to know how long they run. */
  readonly isCold: boolean
  readonly arrivalRate: number
  readonly serviceSeconds: number
  readonly latencySeconds: number
  readonly pausedQueues: readonly string[]
}

/** A queue with what is remembered of it and the figures that follow. */
interface Load {
  readonly memory: QueueMemory
  readonly latencySeconds: number
  readonly share: number
  readonly waiting: number
  readonly running: number
  readonly serviceSeconds: number
  readonly recentService: number
  /** Jobs per second; and as many as there seem to be from the last two looks. */
  readonly rate: number
  readonly likelyRate: number
  readonly due: Observation['queues'][number]['due']
}

/** How far ahead `Observation.queues[].due` should look, in seconds: as long as a new pod takes to be of use. */
export function lookaheadSeconds(spec: ScalerSpec, podStartSeconds: number | null): number {
  return (podStartSeconds ?? POD_START_SECONDS) + 2 * spec.pollingIntervalSeconds
}

/** What the queues ask for, in replicas of `slots` slots. */
export function demandOf(
  spec: ScalerSpec,
  observation: Observation,
  memories: Readonly<Record<string, QueueMemory>>,
  slots: number,
  now: number,
): Demand {
  const newIn = (observation.podStartSeconds ?? POD_START_SECONDS) + spec.pollingIntervalSeconds
  const horizon = lookaheadSeconds(spec, observation.podStartSeconds)
  const foreign = foreignRunning(observation.foreign)
  const loads = observation.queues.flatMap((queue): Load[] => {
    const memory = own(memories, queue.name)
    if (memory === undefined) return []
    const latencySeconds = latencyOf(spec, queue.name)
    const serviceSeconds = serviceOf(memory)
    const isLong = serviceSeconds > latencySeconds
    const part = queue.paused ? 0 : queue.share
    const load: Load = {
      memory,
      latencySeconds,
      share: queue.share,
      waiting: part * queue.waiting,
      // Who shares a queue shares its running jobs, or each would keep pods for all of them.
      running: queue.share * (queue.running + (foreign.get(queue.name) ?? 0)),
      serviceSeconds,
      recentService: recentServiceOf(memory),
      rate: part * rateOf(memory, isLong, spec.pollingIntervalSeconds),
      likelyRate: isLong ? 0 : part * likelyRateOf(memory, spec.pollingIntervalSeconds),
      due: queue.paused ? [] : queue.due.filter(({ inSeconds }) => inSeconds <= horizon),
    }
    return [load]
  })
  const sum = (of: (load: Load) => number): number => loads.reduce((total, load) => total + of(load), 0)
  const waiting = sum((load) => load.waiting)
  const running = sum((load) => load.running)
  const offered = sum((load) => load.rate * load.serviceSeconds)
  const arrivalRate = sum((load) => load.rate)
  const serviceSeconds = meanOf(loads, (load) => load.serviceSeconds)
  const staying = Math.max(0, running - observation.pods.terminatingRunning)
  // Among idle slots short jobs come and go by chance: what they keep busy on average counts, not each peak of it.
  const kept = sum((load) => Math.min(load.running, load.share * load.memory.meanRunning))
  const busy = Math.min(staying, kept) / slots
  const figures = { waiting, running, arrivalRate, serviceSeconds, busy }
  const common = {
    ...figures,
    isCold: endsSeen(memories) < KNOWN_ENDS,
    dueSoon: sum(({ due, share }) => share * due.reduce((total, { count }) => total + count, 0)),
    latencySeconds: Math.max(0, ...loads.map((load) => (load.waiting > 0 ? ageOf(load.memory, now) : 0))),
    pausedQueues: observation.queues.filter((queue) => queue.paused && queue.waiting > 0).map(({ name }) => name),
  }
  if ('jobsPerReplica' in spec.target) {
    const { jobsPerReplica } = spec.target
    const backlog = (waiting + staying) / jobsPerReplica
    const lookahead = backlog + common.dueSoon / jobsPerReplica
    return { ...common, likely: 0, terms: { rate: 0, backlog, busy, lookahead: common.dueSoon > 0 ? lookahead : 0 } }
  }
  const least = Math.min(...loads.map((load) => load.latencySeconds))
  // A slot is as likely to hold a job of a queue as the queue has a part in the work.
  const residualSeconds =
    offered > 0 ? sum((load) => load.rate * load.serviceSeconds * residualOf(load.memory)) / offered : 0
  const catchUp = loads.reduce(
    (total, load) => total + (load.waiting * load.serviceSeconds) / (2 * load.latencySeconds),
    0,
  )
  const rate = (offered + headroom(offered, residualSeconds, least) + catchUp) / slots
  const supply = supplyOf(spec, observation, loads, slots, newIn, serviceSeconds, least)
  const backlog = Math.max(
    replicasFor(dueWork(loads, now, false), supply),
    common.isCold ? coldReplicas(loads, waiting, staying / slots, slots) : 0,
  )
  const lookahead = common.dueSoon > 0 ? replicasFor(dueWork(loads, now, true), supply) : 0
  const coming = sum((load) => Math.max(load.rate, load.likelyRate) * load.serviceSeconds)
  const left = Math.max(0, sum((load) => load.waiting * load.serviceSeconds) + coming * newIn - startsBy(newIn, supply))
  const likely = (coming + headroom(coming, residualSeconds, least) + left / (2 * least)) / slots
  return { ...common, likely: Number.isFinite(likely) ? likely : 0, terms: { rate, backlog, busy, lookahead } }
}

/**
 * Slots beyond the offered load that random arrivals need: no more than keeps the share that waits longer than the
 * target below `LATE_SHARE` in a queue with c slots, P(W > t) ≈ e^(−(c − R)·t/r) with the mean residual service time r,
 * and no more than some standard deviations of the load.
 */
function headroom(offered: number, residualSeconds: number, latencySeconds: number): number {
  const forTail = (residualSeconds * Math.log(1 / LATE_SHARE)) / latencySeconds
  return Math.max(LEAST_HEADROOM * offered, Math.min(MOST_DEVIATIONS * Math.sqrt(offered), forTail))
}

/** The rate of the last minute, or more where two looks leave no doubt: noise of the count taken off. */
function rateOf({ rate, sustainedRate }: QueueMemory, isLong: boolean, pollingSeconds: number): number {
  return isLong ? rate : Math.max(rate, leastRate(sustainedRate, pollingSeconds))
}

/** What came between each of the last two looks, less what may be chance. */
function likelyRateOf({ sustainedRate }: QueueMemory, pollingSeconds: number): number {
  return Math.max(0, sustainedRate - CHANCE_JOBS / pollingSeconds)
}

function supplyOf(
  spec: ScalerSpec,
  { replicas, pods }: Observation,
  loads: readonly Load[],
  slots: number,
  newIn: number,
  serviceSeconds: number,
  latencySeconds: number,
): Supply {
  const startSeconds = newIn - spec.pollingIntervalSeconds
  // Replicas without a pod yet start from now; a pod that takes longer than pods do may come at any moment.
  const uncreated = Math.max(0, replicas - pods.ready - pods.starting.length - pods.unschedulable)
  const starting = [...pods.starting, ...Array.from({ length: Math.min(uncreated, 10_000) }, () => 0)]
    .map((age) => Math.max(startSeconds - age, spec.pollingIntervalSeconds))
    .sort((a, b) => a - b)
  return {
    ready: pods.ready,
    pace: paceOf(loads),
    starting,
    newInSeconds: newIn,
    slots,
    serviceSeconds,
    leastSeconds: Math.max(latencySeconds / 8, 1),
    lateSeconds: Math.max(latencySeconds / 4, 1),
  }
}

/**
 * What busy slots began in the last seconds, against what they usually do: little while they are stuck in long jobs.
 */
function paceOf(loads: readonly Load[]): number {
  const running = loads.reduce((sum, load) => sum + load.running, 0)
  const serviceSeconds =
    running > 0 ? loads.reduce((sum, load) => sum + load.running * load.serviceSeconds, 0) / running : 1
  let begun = serviceSeconds
  let busy = serviceSeconds
  for (const { memory, serviceSeconds: own } of loads) {
    begun += memory.fastStarted * own
    busy += memory.fastBusy
  }
  return busy > 0 ? Math.min(1, begun / busy) : 1
}

/** Waiting work by the time at which it has to have started; with `future`, also delayed jobs. */
function dueWork(loads: readonly Load[], now: number, future: boolean): readonly DueWork[] {
  const due = loads.flatMap((load): DueWork[] => {
    const { latencySeconds, recentService: serviceSeconds, share } = load
    const known =
      load.waiting === 0
        ? []
        : waitingCurve(load.memory).map(([, count], i, curve): DueWork => {
            const [since, before] = curve[i - 1] ?? [curve[0]?.[0] ?? now, 0]
            return {
              inSeconds: latencySeconds - (now - since) / 1000,
              work: (count - before) * share * serviceSeconds * SAFETY,
            }
          })
    const coming = future
      ? load.due.map(({ inSeconds, count }) => ({
          inSeconds: inSeconds + latencySeconds,
          work: count * share * serviceSeconds,
        }))
      : []
    return [...known, ...coming]
  })
  return due.sort((a, b) => a.inSeconds - b.inSeconds)
}

/**
 * While nobody knows how long jobs run: a slot for each that came since the last look, because a batch may be all there
 * is and every job of it need one. Of what comes in a stream, so many seconds as lie between two looks; and a few
 * replicas at once as soon as one is not enough. Once it is clear that they are not short, what waits is not reckoned
 * to find a slot that works already.
 */
function coldReplicas(loads: readonly Load[], waiting: number, busy: number, slots: number): number {
  const came = loads.reduce((sum, load) => sum + Math.min(load.waiting, load.memory.came * load.share), 0)
  // What has only just begun was seen for half of the time between two looks, on average.
  const begun = came > slots && came >= waiting ? 2 * came : came
  const isLong = loads.some(({ memory, latencySeconds }) => memory.meanAge >= latencySeconds / 8)
  const beside = isLong ? busy + Math.min(waiting / slots, 1) : 0
  return Math.max(begun / slots, beside, waiting > slots ? COLD_REPLICAS : waiting / slots)
}

/** Weighted by the jobs that arrive; where none do, by those that wait or run. */
function meanOf(loads: readonly Load[], of: (load: Load) => number): number {
  for (const weigh of [
    (load: Load) => load.rate + load.waiting / 60,
    (load: Load) => load.waiting + load.running,
    () => 1,
  ]) {
    const weight = loads.reduce((sum, load) => sum + weigh(load), 0)
    if (weight > 1e-9) return loads.reduce((sum, load) => sum + weigh(load) * of(load), 0) / weight
  }
  return 1
}

function ageOf(memory: QueueMemory, now: number): number {
  const [since] = waitingCurve(memory)[0] ?? [now]
  return (now - since) / 1000
}

/** The target of a queue; where the target is depth, what ages are told by. */
export function latencyOf({ target }: ScalerSpec, queue: string): number {
  if ('jobsPerReplica' in target) return DEPTH_LATENCY_SECONDS
  return own(target.latencySecondsByQueue, queue) ?? target.latencySeconds
}
