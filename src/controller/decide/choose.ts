import type { ScalerSpec } from '../api.ts'
import { NOT_SHORT } from './cold.ts'
import { scaleDownLimit, scaleUpLimit } from './behavior.ts'
import type { Demand } from './demand.ts'
import type { Blocked, DecisionReason, Limit, Memory, Observation } from './types.ts'

/**
 * How long replicas are held down while pods cannot start, before all of them are tried again, and how long the try
 * lasts.
 */
const RETRY_MS = 300_000
const TRY_MS = 90_000

/** The least step up, and the least down that is worth a write at once, as parts of the replicas. */
const LEAST_STEP = 0.1
const LEAST_STEP_DOWN = 0.5

/**
 * The same upwards while the service time is unknown: there is little to be exact about. And what part of the replicas
 * more is worth a write, while the first jobs have not run for long.
 */
const COLD_STEP = 1
const COLD_BAND = 0.25

/**
 * So many pod starts long replicas rise above the minimum, by default zero. The second look after they did is waited
 * for, which tells a stream from what came by chance; then more foresight is right than later, and small growth is left
 * alone as above.
 */
const RISE_STARTS = 2
const RISE_FORESIGHT = 3
/**
 * Of long jobs few came yet, against those that run at once in the end: as many times as so many seconds are in the time
 * that a job runs, up to this.
 */
const RISE_FORESIGHT_SECONDS = 6
const MOST_RISE_FORESIGHT = 6
/** Nothing goes down before two generations of long jobs can have ended; no longer than this is reckoned for them. */
const MOST_FILLING_SECONDS = 300
/** The first that comes so many polling intervals later is the second look. */
const SECOND_LOOK = 0.75

/** Windows without a change after which it goes down though a lower number is in sight. */
const MOST_WINDOWS = 3

/** Foresight orders at most so many times what is wanted now. */
const MOST_FORESIGHT = 2

/** All that the number is made of. */
export interface Situation {
  readonly spec: ScalerSpec
  readonly observation: Observation
  readonly memory: Memory
  readonly demand: Demand
  /** Replicas that the demand asks for; and those it asks for even without the headroom of the rate. */
  readonly raw: number
  readonly sure: number
  readonly active: boolean
  readonly slots: number
  readonly podStartSeconds: number
  readonly now: number
}

export interface Choice {
  readonly replicas: number
  readonly reason: DecisionReason
  /** The last rule that changed the number. */
  readonly limitedBy: Limit | null
}

/**
 * From the demand to a number of replicas: tolerance, stabilization, zero, pods that cannot start, policies, minimum
 * and maximum, in this order. `goal`: what it would be without policies, which only say how fast to go there.
 */
export function choose(situation: Situation): Choice & { readonly goal: number } {
  const { minReplicas, maxReplicas } = situation.spec
  const wanted = withinStarts(situation, aroundZero(situation, stabilized(situation)))
  const goal = wanted.replicas
  const choice = withinPolicies(situation, wanted)
  if (choice.replicas < minReplicas)
    return { replicas: minReplicas, reason: 'MinReplicas', limitedBy: 'TooFewReplicas', goal }
  if (choice.replicas > maxReplicas)
    return { replicas: maxReplicas, reason: 'MaxReplicas', limitedBy: 'TooManyReplicas', goal }
  return { ...choice, goal }
}

/** Whether pods cannot start: then more of them are no help. */
export function blockedBy({ pods }: Observation, blocked: Blocked | null, now: number): Blocked | null {
  const reason = pods.unschedulable > 0 ? 'Unschedulable' : pods.notStarting ? 'PodsNotStarting' : null
  if (reason === null) return null
  if (blocked === null || now >= blocked.retryAt + TRY_MS) return { reason, retryAt: now + RETRY_MS }
  return { reason, retryAt: blocked.retryAt }
}

/** The demand as whole replicas, after tolerance and stabilization windows. */
function stabilized(situation: Situation): Choice {
  return raised(situation) ?? lowered(situation)
}

/** `null`: no more are asked for than there are. */
function raised(situation: Situation): Choice | null {
  const { spec, observation, memory, demand, raw, sure } = situation
  const { tolerance } = spec.behavior.scaleUp
  const { replicas: current } = observation
  const { cold } = demand
  const first = cold !== null && cold.begun > 0 ? cold : null
  const low = Math.min(...memory.lows.map(([, value]) => value))
  const isYoung = first !== null && first.begun < 2 * NOT_SHORT
  const risenFor = cold === null ? riseSeconds(situation) : null
  const worth = isYoung || risenFor !== null ? COLD_BAND : cold === null ? 0 : LEAST_STEP
  const band = tolerance === null ? Math.max(0.1, worth * current) : tolerance * current
  const up = (value: number): number => Math.ceil(value - band - 1e-9)
  const reason = mainTerm(spec, demand, raw)
  const held: Choice = { replicas: current, reason, limitedBy: 'ScaleUpStabilized' }
  if (up(low) <= current) return up(sure) > current ? held : null
  if (risenFor !== null && risenFor < SECOND_LOOK * spec.pollingIntervalSeconds && up(low) < spec.maxReplicas)
    return held
  // Jobs of which nobody knows how long they run get a slot each, all in one write: more can be of no use. Before that
  // the first are left to run until short ones have ended, unless it would be all pods that there may be.
  const oneEach = Math.ceil(first?.oneEach ?? 0)
  if (first !== null && first.begun < NOT_SHORT && oneEach < spec.maxReplicas) return held
  // Large fleets go up in steps that are worth a write. Jobs that run for longer than the target are counted, not guessed.
  const step = Math.floor((cold === null || cold.begun >= 1 ? LEAST_STEP : COLD_STEP) * current)
  // What is likely to be wanted before a new pod works is ordered with what is wanted now: one write instead of many.
  const rising = Math.min(demand.serviceSeconds / RISE_FORESIGHT_SECONDS, MOST_RISE_FORESIGHT)
  const foresight = risenFor === null ? MOST_FORESIGHT : Math.max(RISE_FORESIGHT, rising)
  const likely = Math.min(up(demand.likely), Math.ceil(foresight * up(low)))
  return { replicas: Math.max(up(low), likely, current + step, oneEach), reason, limitedBy: null }
}

/**
 * For how long replicas rise above the minimum; `null` where they do not, or where there is no time to wait for another
 * look.
 */
function riseSeconds({ spec, memory: { roseAt }, demand, podStartSeconds, now }: Situation): number | null {
  if (roseAt === null || demand.slackSeconds < 2 * spec.pollingIntervalSeconds) return null
  const seconds = (now - roseAt) / 1000
  return seconds < RISE_STARTS * podStartSeconds ? seconds : null
}

/**
 * Whether more still come, and the jobs for which replicas rose and those that came after them cannot have ended yet:
 * how many run at once in the end is not known before. Of shorter ones the window sees it.
 */
function isFilling({ spec, memory: { roseAt }, demand, podStartSeconds, now }: Situation): boolean {
  const seconds = Math.min(2 * demand.serviceSeconds, MOST_FILLING_SECONDS)
  if (roseAt === null || !demand.isStream || seconds <= spec.behavior.scaleDown.stabilizationWindowSeconds) return false
  return now < roseAt + 1000 * (podStartSeconds + seconds)
}

/** The present number, where no fewer are asked for. */
function lowered(situation: Situation): Choice {
  const { spec, observation, memory, demand, raw, now } = situation
  const { tolerance, stabilizationWindowSeconds } = spec.behavior.scaleDown
  const { replicas: current } = observation
  const { descentTo } = memory
  const high = Math.max(...memory.highs.map(([, value]) => value))
  const down = (value: number): number => {
    const band = tolerance === null ? Math.max(0.1, 0.02 * value) : tolerance * value
    return Math.ceil(value + band - 1e-9)
  }
  const reason = mainTerm(spec, demand, raw)
  const held: Choice = { replicas: current, reason, limitedBy: 'ScaleDownStabilized' }
  // As the HPA: what is nearly right stays.
  const least = tolerance === null && descentTo === null ? LEAST_STEP * current : 0
  if (down(raw) >= current || current - down(raw) < least)
    return { replicas: current, reason: current > raw ? 'WithinTolerance' : reason, limitedBy: null }
  if (isFilling(situation) || now < memory.noDownBefore || down(high) >= current || current - down(high) < least)
    return held
  // Small steps wait until it is quiet, and all of them longer where a lower number is in sight, or a large fleet would
  // go down in hundreds of them.
  const isLast = down(high) - down(raw) <= LEAST_STEP * current
  const isQuiet = now - memory.changedAt >= (isLast ? 1 : MOST_WINDOWS) * stabilizationWindowSeconds * 1000
  if (isQuiet || (isLast && current - down(high) > LEAST_STEP_DOWN * current))
    return { replicas: down(high), reason, limitedBy: null }
  // What was begun goes on as pods become free.
  return descentTo === null ? held : { replicas: Math.max(down(high), descentTo), reason, limitedBy: null }
}

function mainTerm({ target }: ScalerSpec, { terms }: Demand, raw: number): DecisionReason {
  if (raw === terms.backlog) return 'jobsPerReplica' in target ? 'Depth' : 'Backlog'
  if (raw === terms.rate) return 'Rate'
  return raw === terms.busy ? 'Busy' : 'Lookahead'
}

/** From zero at once; to zero, or to the minimum, only after the cooldown, and then at once. */
function aroundZero({ spec, observation, memory, active, now }: Situation, choice: Choice): Choice {
  const { replicas: current } = observation
  if (active) return choice.replicas > 0 ? choice : { replicas: 1, reason: 'Active', limitedBy: null }
  if (current === 0) return { replicas: 0, reason: 'Idle', limitedBy: null }
  const idleMs = now - (memory.idleSince ?? now)
  const cooldownMs = spec.cooldownSeconds * 1000
  if (idleMs < cooldownMs) {
    // Soon before the end a step of its own is not worth a write.
    const isEarly = idleMs < cooldownMs / 2
    const isStep = isEarly && current - choice.replicas >= LEAST_STEP_DOWN * current
    return { replicas: isStep ? Math.max(1, choice.replicas) : current, reason: 'Idle', limitedBy: 'Cooldown' }
  }
  if (now < memory.noDownBefore) return { replicas: current, reason: 'Idle', limitedBy: 'ScaleDownStabilized' }
  return { replicas: 0, reason: 'Idle', limitedBy: null }
}

function withinPolicies({ spec, observation, memory, now }: Situation, choice: Choice): Choice {
  const { scaleUp, scaleDown } = spec.behavior
  const { replicas: current } = observation
  // A percentage of nothing is nothing: from zero there is always one.
  const least = current === 0 && scaleUp.selectPolicy !== 'Disabled' ? 1 : 0
  const most = Math.max(least, scaleUpLimit(scaleUp, current, memory.changes, now))
  if (choice.replicas > most) return { ...choice, replicas: most, limitedBy: 'ScaleUpLimit' }
  const fewest = scaleDownLimit(scaleDown, current, memory.changes, now)
  return choice.replicas < fewest ? { ...choice, replicas: fewest, limitedBy: 'ScaleDownLimit' } : choice
}

/** While pods cannot start, one at a time is tried, and all of them every five minutes. */
function withinStarts({ observation, memory, demand, slots, now }: Situation, choice: Choice): Choice {
  const { blocked } = memory
  if (blocked === null || now >= blocked.retryAt) return choice
  const most = Math.max(observation.pods.ready + 1, Math.ceil(demand.running / slots))
  return choice.replicas > most ? { ...choice, replicas: most, limitedBy: blocked.reason } : choice
}
