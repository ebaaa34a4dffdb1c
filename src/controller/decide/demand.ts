import type { DemandTerms, ScalerSpec } from '../api.ts'
import { coldOf, type Cold } from './cold.ts'
import { loadsOf, type QueueLoad } from './load.ts'
import { replicasFor, startsBy, type DueWork, type Supply } from './plan.ts'
import { isStale, residualOf, waitingCurve } from './queue.ts'
import type { Observation, QueueMemory } from './types.ts'

/** Seconds that a pod is taken to need until one was measured. */
export const POD_START_SECONDS = 20

/**
 * Share of the jobs that may start late when arrivals are random, and how many standard deviations of headroom are the
 * most.
 */
const LATE_SHARE = 0.005
const MOST_DEVIATIONS = 1.5

/** Headroom that there is in any case. */
export const LEAST_HEADROOM = 0.05

/** Waiting work is taken for so much more than it is likely to be; and where jobs may have become longer unseen. */
const SAFETY = 1.2
const STALE_SAFETY = 1.6

export interface Demand {
  readonly terms: DemandTerms
  readonly waiting: number
  readonly running: number
  readonly dueSoon: number
  /** Replicas that are likely to be asked for when a pod works that is ordered now; as good as the last looks. */
  readonly likely: number
  /** How long a job may wait before a pod has to be ordered for it; 0 where the target is depth. */
  readonly slackSeconds: number
  /** What there is to go by while nobody knows how long jobs run; `null` afterwards. */
  readonly cold: Cold | null
  readonly arrivalRate: number
  /** Whether work comes half as fast as on average, at least: of a batch none does any more. */
  readonly isStream: boolean
  readonly serviceSeconds: number
  readonly latencySeconds: number
  readonly pausedQueues: readonly string[]
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
  const loads = loadsOf(spec, observation, memories, lookaheadSeconds(spec, observation.podStartSeconds))
  const sum = (of: (load: QueueLoad) => number): number => loads.reduce((total, load) => total + of(load), 0)
  const waiting = sum((load) => load.waiting)
  const running = sum((load) => load.running)
  const offered = sum((load) => load.rate * load.serviceSeconds)
  const arrivalRate = sum((load) => load.rate)
  const serviceSeconds = meanOf(loads, (load) => load.serviceSeconds)
  const staying = Math.max(0, running - observation.pods.terminatingRunning)
  // Among idle slots short jobs come and go by chance: what they keep busy on average counts, not each peak of it.
  const kept = sum((load) => Math.min(load.running, load.share * load.memory.meanRunning))
  const busy = Math.min(staying, kept) / slots
  const fast = sum(({ memory, serviceSeconds }) => memory.fastRate * serviceSeconds)
  const slow = sum(({ memory, serviceSeconds }) => memory.rate * serviceSeconds)
  const isStream = fast > slow / 2
  const figures = { waiting, running, arrivalRate, serviceSeconds, busy, isStream }
  const common = {
    ...figures,
    dueSoon: sum(({ due, share }) => share * due.reduce((total, { count }) => total + count, 0)),
    latencySeconds: Math.max(0, ...loads.map((load) => (load.waiting > 0 ? ageOf(load.memory, now) : 0))),
    pausedQueues: observation.queues.filter((queue) => queue.paused && queue.waiting > 0).map(({ name }) => name),
  }
  if ('jobsPerReplica' in spec.target) {
    const { jobsPerReplica } = spec.target
    const backlog = (waiting + staying) / jobsPerReplica
    const lookahead = backlog + common.dueSoon / jobsPerReplica
    const terms = { rate: 0, backlog, busy, lookahead: common.dueSoon > 0 ? lookahead : 0 }
    return { ...common, likely: 0, slackSeconds: 0, cold: null, terms }
  }
  const least = Math.min(...loads.map((load) => load.latencySeconds))
  // A slot is as likely to hold a job of a queue as the queue has a part in the work.
  const residualSeconds =
    offered > 0 ? sum((load) => load.rate * load.serviceSeconds * residualOf(load.memory)) / offered : 0
  const catchUp = sum((load) => (load.waiting * load.serviceSeconds) / (2 * load.latencySeconds))
  const rate = (offered + headroom(offered, residualSeconds, least) + catchUp) / slots
  const supply = supplyOf(spec, observation, loads, slots, newIn, serviceSeconds, least)
  const cold = coldOf(loads, memories, { waiting, running, staying, slots, newIn })
  const backlog = Math.max(replicasFor(dueWork(loads, now, false), supply), cold?.least ?? 0)
  const lookahead = common.dueSoon > 0 ? replicasFor(dueWork(loads, now, true), supply) : 0
  const coming = sum((load) => load.likelyRate * load.serviceSeconds)
  const left = Math.max(0, sum((load) => load.waiting * load.serviceSeconds) + coming * newIn - startsBy(newIn, supply))
  const likely = (coming + headroom(coming, residualSeconds, least) + left / (2 * least)) / slots
  return {
    ...common,
    likely: Number.isFinite(likely) ? likely : 0,
    slackSeconds: Math.max(0, Number.isFinite(least) ? least - newIn : 0),
    cold,
    terms: { rate, backlog, busy, lookahead },
  }
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

function supplyOf(
  spec: ScalerSpec,
  { replicas, pods }: Observation,
  loads: readonly QueueLoad[],
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
    // As long as what waits is taken to run: a slot that starts one job has done its part, however long that is.
    serviceSeconds: SAFETY * serviceSeconds,
    leastSeconds: Math.max(latencySeconds / 8, 1),
    lateSeconds: Math.max(latencySeconds / 4, 1),
  }
}

/**
 * What busy slots began lately, against what they usually do: little while they are stuck in long jobs.
 */
function paceOf(loads: readonly QueueLoad[]): number {
  const running = loads.reduce((sum, load) => sum + load.running, 0)
  const serviceSeconds =
    running > 0 ? loads.reduce((sum, load) => sum + load.running * load.serviceSeconds, 0) / running : 1
  let begun = serviceSeconds
  let busy = serviceSeconds
  for (const { memory, serviceSeconds: own } of loads) {
    begun += memory.paceStarted * own
    busy += memory.paceBusy
  }
  return busy > 0 ? Math.min(1, begun / busy) : 1
}

/** Waiting work by the time at which it has to have started; with `future`, also delayed jobs. */
function dueWork(loads: readonly QueueLoad[], now: number, future: boolean): readonly DueWork[] {
  const due = loads.flatMap((load): DueWork[] => {
    const { latencySeconds, recentService: serviceSeconds, share } = load
    const safety = isStale(load.memory) ? STALE_SAFETY : SAFETY
    const known =
      load.waiting === 0
        ? []
        : waitingCurve(load.memory).map(([, count], i, curve): DueWork => {
            const [since, before] = curve[i - 1] ?? [curve[0]?.[0] ?? now, 0]
            return {
              inSeconds: latencySeconds - (now - since) / 1000,
              work: (count - before) * share * serviceSeconds * safety,
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

/** Weighted by the jobs that arrive; where none do, by those that wait or run. */
function meanOf(loads: readonly QueueLoad[], of: (load: QueueLoad) => number): number {
  for (const weigh of [
    (load: QueueLoad) => load.rate + load.waiting / 60,
    (load: QueueLoad) => load.waiting + load.running,
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
