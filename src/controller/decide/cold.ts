import type { QueueLoad } from './load.ts'
import { endsSeen, KNOWN_ENDS, SURE_ENDS } from './queue.ts'
import type { QueueMemory } from './types.ts'

/** As many replicas are asked for at once as soon as more jobs wait than half of a pod's slots. */
const COLD_REPLICAS = 4

/** Part of the target after which a running job is not a short one. */
export const NOT_SHORT = 0.125

/** So many starts of pods ahead jobs get a slot each. */
const ONE_EACH_STARTS = 2

/** What there is to go by while nobody knows how long jobs run. In replicas, but for `begun`. */
export interface Cold {
  /** What new and waiting jobs ask for. */
  readonly least: number
  /**
   * A slot for each job that waits, runs or is likely to come until a pod works that is ordered when one works that is
   * ordered now: one write instead of two. 0 once the first have run for longer than the target.
   */
  readonly oneEach: number
  /** How long the jobs that run have run on average, as a part of the target; 0 while none runs. */
  readonly begun: number
}

interface Figures {
  readonly waiting: number
  readonly running: number
  /** Running jobs on pods that stay. */
  readonly staying: number
  readonly slots: number
  /** Seconds until a pod works that is ordered now. */
  readonly newIn: number
}

/**
 * `null` once it is known how long jobs run: a few have ended, and as many as run, or twenty; where many run, the first
 * to end are the shortest of them.
 */
export function coldOf(
  loads: readonly QueueLoad[],
  memories: Readonly<Record<string, QueueMemory>>,
  { waiting, running, staying, slots, newIn }: Figures,
): Cold | null {
  if (endsSeen(memories) >= Math.min(SURE_ENDS, Math.max(KNOWN_ENDS, running))) return null
  const begunOf = ({ running, memory, latencySeconds }: QueueLoad): number =>
    running > 0 ? memory.meanAge / latencySeconds : 0
  const likelyRate = loads.reduce((sum, load) => sum + load.likelyRate, 0)
  const begun = Math.max(0, ...loads.map(begunOf))
  return {
    least: leastOf(loads, waiting, staying / slots, slots),
    oneEach: begun < 1 ? (waiting + running + likelyRate * ONE_EACH_STARTS * newIn) / slots : 0,
    begun,
  }
}

/**
 * A slot for each job that came since the last look, because a batch may be all there is and every job of it need one.
 * Of what comes in a stream, so many seconds as lie between two looks; and a few replicas at once as soon as one is not
 * enough. Once it is clear that they are not short, what waits is not reckoned to find a slot that works already.
 */
function leastOf(loads: readonly QueueLoad[], waiting: number, busy: number, slots: number): number {
  const came = loads.reduce((sum, load) => sum + Math.min(load.waiting, load.memory.came * load.share), 0)
  // What has only just begun was seen for half of the time between two looks, on average.
  const fresh = came > slots && came >= waiting ? 2 * came : came
  const isLong = loads.some(({ memory, latencySeconds }) => memory.meanAge >= NOT_SHORT * latencySeconds)
  const beside = isLong ? busy + Math.min(waiting / slots, 1) : 0
  return Math.max(fresh / slots, beside, waiting > Math.max(1, slots / 2) ? COLD_REPLICAS : waiting / slots)
}
