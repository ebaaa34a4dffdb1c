import { defined } from '../defined.ts'
import type { Condition, ScalerStatus } from './api.ts'
import type { Decision } from './decide.ts'

/** A status is written this often at most, unless a condition changed. Milliseconds. */
const STATUS_MS = 10_000
/** And this often where its numbers moved by so little that nobody misses it. Milliseconds. */
const DRIFT_MS = 60_000
/** A tenth is little. */
const DRIFT = 0.1
const MOST_NAMES = 10

/** What the controller knows beyond the decision. */
export interface StatusFacts {
  readonly generation: number
  readonly replicas: number | undefined
  readonly decision: Decision | undefined
  readonly draining: readonly string[]
  readonly lastScaleTime: string | undefined
  readonly conditions: readonly Condition[]
}

/** The status to write. What is not known now stays as it was. */
export function statusOf(facts: StatusFacts, before: ScalerStatus): ScalerStatus {
  const { generation, replicas, decision, draining, lastScaleTime, conditions } = facts
  const observed =
    decision === undefined
      ? pick(before, [
          'desiredReplicas',
          'jobs',
          'latencySeconds',
          'arrivalRate',
          'serviceSeconds',
          'demand',
          'slotsPerReplica',
        ])
      : {
          desiredReplicas: decision.replicas,
          jobs: { waiting: Math.round(decision.waiting), running: Math.round(decision.running) },
          latencySeconds: rounded(decision.latencySeconds),
          arrivalRate: rounded(decision.arrivalRate),
          serviceSeconds: rounded(decision.serviceSeconds),
          demand: {
            rate: rounded(decision.terms.rate),
            backlog: rounded(decision.terms.backlog),
            busy: rounded(decision.terms.busy),
            lookahead: rounded(decision.terms.lookahead),
          },
          slotsPerReplica: decision.slotsPerReplica,
        }
  return {
    observedGeneration: generation,
    ...observed,
    ...defined({
      replicas: replicas ?? before.replicas,
      lastScaleTime: lastScaleTime ?? before.lastScaleTime,
    }),
    draining: { count: draining.length, names: draining.slice(0, MOST_NAMES) },
    conditions,
  }
}

/** Whether a condition says something else: then the status is written at once. */
export function conditionsChanged(now: readonly Condition[], before: readonly Condition[]): boolean {
  const text = (list: readonly Condition[]): string =>
    list
      .map(({ type, status, reason, observedGeneration }) => [type, status, reason, observedGeneration].join(' '))
      .sort()
      .join()
  return text(now) !== text(before)
}

/** Whether a status is worth a write, the last one being so old. */
export function worthWriting(now: ScalerStatus, before: ScalerStatus, ageMs: number): boolean {
  return ageMs >= STATUS_MS && (ageMs >= DRIFT_MS ? !isNear(now, before, 0) : !isNear(now, before, DRIFT))
}

/** Whether two values are the same but for numbers that differ by a share of them at most. */
function isNear(a: unknown, b: unknown, share: number): boolean {
  if (typeof a === 'number' && typeof b === 'number')
    return Math.abs(a - b) <= share * Math.max(Math.abs(a), Math.abs(b))
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  const names = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...names].every((name) => isNear(a[name as keyof typeof a], b[name as keyof typeof b], share))
}

/** Three digits are what people read, and what keeps a status from changing with every look. */
function rounded(value: number): number {
  return value === 0 || !Number.isFinite(value) ? 0 : Number(value.toPrecision(3))
}

function pick<T extends object, K extends keyof T>(from: T, names: readonly K[]): Partial<Pick<T, K>> {
  return Object.fromEntries(names.flatMap((name) => (from[name] === undefined ? [] : [[name, from[name]]]))) as Partial<
    Pick<T, K>
  >
}
