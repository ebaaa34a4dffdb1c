import type { ScalerSpec } from '../api.ts'
import { foreignRunning } from './foreign.ts'
import { own } from './records.ts'
import { leastRate, recentServiceOf, serviceOf, waitingCurve } from './queue.ts'
import type { Observation, QueueMemory } from './types.ts'

const DEPTH_LATENCY_SECONDS = 30

/** Jobs of one look that may have come together by chance. */
const CHANCE_JOBS = 1.5

/** For so many polling intervals jobs must have waited to tell the rate of a stream from them. */
const LEAST_STREAM = 1.5

/** A queue with what is remembered of it and the figures that follow. */
export interface QueueLoad {
  readonly memory: QueueMemory
  readonly latencySeconds: number
  readonly share: number
  readonly waiting: number
  readonly running: number
  readonly serviceSeconds: number
  readonly recentService: number
  /** Jobs per second; and as many as there seem to be from the last two looks, if those are more. */
  readonly rate: number
  readonly likelyRate: number
  readonly due: Observation['queues'][number]['due']
}

/** One load for each queue that is remembered; in `due`, what becomes due within `horizon` seconds. */
export function loadsOf(
  spec: ScalerSpec,
  observation: Observation,
  memories: Readonly<Record<string, QueueMemory>>,
  horizon: number,
): readonly QueueLoad[] {
  const foreign = foreignRunning(observation.foreign)
  return observation.queues.flatMap((queue): QueueLoad[] => {
    const memory = own(memories, queue.name)
    if (memory === undefined) return []
    const latencySeconds = latencyOf(spec, queue.name)
    const serviceSeconds = serviceOf(memory)
    const isLong = serviceSeconds > latencySeconds
    const part = queue.paused ? 0 : queue.share
    const rate = part * rateOf(memory, isLong, spec.pollingIntervalSeconds)
    const load: QueueLoad = {
      memory,
      latencySeconds,
      share: queue.share,
      waiting: part * queue.waiting,
      // Who shares a queue shares its running jobs, or each would keep pods for all of them.
      running: queue.share * (queue.running + (foreign.get(queue.name) ?? 0)),
      serviceSeconds,
      recentService: recentServiceOf(memory),
      rate,
      likelyRate: Math.max(rate, part * likelyRateOf(memory, spec.pollingIntervalSeconds)),
      due: queue.paused ? [] : queue.due.filter(({ inSeconds }) => inSeconds <= horizon),
    }
    return [load]
  })
}

/** The target of a queue; where the target is depth, what ages are told by. */
export function latencyOf({ target }: ScalerSpec, queue: string): number {
  if ('jobsPerReplica' in target) return DEPTH_LATENCY_SECONDS
  return own(target.latencySecondsByQueue, queue) ?? target.latencySeconds
}

/** The rate of the last minute, or more where two looks leave no doubt: noise of the count taken off. */
function rateOf({ rate, sustainedRate }: QueueMemory, isLong: boolean, pollingSeconds: number): number {
  return isLong ? rate : Math.max(rate, leastRate(sustainedRate, pollingSeconds))
}

/**
 * What came between each of the last two looks, less what may be chance. Where jobs wait for longer, all that came
 * since the first look at them says more; where it did not come as a stream, twice the lesser of the last two.
 */
function likelyRateOf(memory: QueueMemory, pollingSeconds: number): number {
  const { sustainedRate } = memory
  const sure = Math.max(0, sustainedRate - CHANCE_JOBS / pollingSeconds)
  const [, first, ...later] = waitingCurve(memory)
  const last = later.at(-1)
  if (!first || !last) return sure
  const seconds = (last[0] - first[0]) / 1000
  if (seconds < LEAST_STREAM * pollingSeconds) return sure
  return Math.max(sure, Math.min((last[1] - first[1]) / seconds, 2 * sustainedRate))
}
