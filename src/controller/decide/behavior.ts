import type { ScalingRules } from '../api.ts'
import type { Stamped } from './types.ts'

/**
 * The highest number of replicas that the policies allow now. As in `autoscaling/v2`: a policy goes by the replicas at
 * the beginning of its period, `Max` takes the policy that allows most, `Min` the one that allows least. Without
 * policies there is no limit.
 */
export function scaleUpLimit(rules: ScalingRules, replicas: number, changes: readonly Stamped[], now: number): number {
  if (rules.selectPolicy === 'Disabled') return replicas
  if (rules.policies.length === 0) return Number.POSITIVE_INFINITY
  const limits = rules.policies.map(({ type, value, periodSeconds }) => {
    const start = replicas - changed(changes, periodSeconds, now)
    return type === 'Pods' ? start + value : Math.ceil(start * (1 + value / 100))
  })
  return Math.max(replicas, rules.selectPolicy === 'Max' ? Math.max(...limits) : Math.min(...limits))
}

/** The lowest number of replicas that the policies allow now. */
export function scaleDownLimit(
  rules: ScalingRules,
  replicas: number,
  changes: readonly Stamped[],
  now: number,
): number {
  if (rules.selectPolicy === 'Disabled') return replicas
  if (rules.policies.length === 0) return 0
  const limits = rules.policies.map(({ type, value, periodSeconds }) => {
    const start = replicas - changed(changes, periodSeconds, now)
    return type === 'Pods' ? start - value : Math.floor(start * (1 - value / 100))
  })
  return Math.min(replicas, rules.selectPolicy === 'Max' ? Math.min(...limits) : Math.max(...limits))
}

/** How far back any policy looks, in seconds. */
export function longestPeriod(...rules: readonly ScalingRules[]): number {
  return Math.max(0, ...rules.flatMap(({ policies }) => policies.map(({ periodSeconds }) => periodSeconds)))
}

/** By how much the replicas have changed within the last seconds. */
function changed(changes: readonly Stamped[], seconds: number, now: number): number {
  return changes.reduce((sum, [at, by]) => (now - at < seconds * 1000 ? sum + by : sum), 0)
}

/** Keeps of `stamps` what a later question for the highest value of a window can need, with one more value. */
export function addHigh(stamps: readonly Stamped[], at: number, value: number, windowMs: number): readonly Stamped[] {
  return [...stamps.filter(([then, high]) => at - then <= windowMs && high > value), [at, value]]
}

/** The same for the lowest value. */
export function addLow(stamps: readonly Stamped[], at: number, value: number, windowMs: number): readonly Stamped[] {
  return [...stamps.filter(([then, low]) => at - then <= windowMs && low < value), [at, value]]
}
