import { CONDITION_TYPES, type Condition, type ConditionType } from './api.ts'
import { secondTime } from './times.ts'

/** What is to be said of a condition; the rest follows from what stands there already. */
export interface Saying {
  readonly status: Condition['status']
  readonly reason: string
  readonly message: string
}

export type Sayings = Readonly<Record<ConditionType, Saying>>

/** Reasons of conditions, in one place: people and alerts lean on them. docs/controller.md explains each. */
export const REASONS = {
  ready: 'Scaling',
  dryRun: 'DryRun',
  invalidSpec: 'InvalidSpec',
  targetNotFound: 'TargetNotFound',
  targetConflict: 'TargetConflict',
  targetUnavailable: 'TargetUnavailable',
  connectionUnknown: 'ConnectionUnknown',
  connectionForbidden: 'ConnectionForbidden',
  redisUnavailable: 'RedisUnavailable',
  contested: 'ReplicasContested',
  turnFailed: 'TurnFailed',
  crdOutdated: 'CRDOutdated',
  active: 'JobsPresent',
  idle: 'Idle',
  queuePaused: 'QueuePaused',
  withinLimits: 'DesiredWithinRange',
  paused: 'Paused',
  notPaused: 'NotPaused',
  drains: 'WorkersDrain',
  drainOff: 'DrainDisabled',
  foreign: 'ForeignWorkers',
  unaware: 'WorkersLackNamespace',
  noWorkers: 'NoWorkers',
  queuesMatch: 'QueuesMatch',
  queuesDiffer: 'QueuesDiffer',
  queueShared: 'QueueShared',
  unknown: 'NotObserved',
} as const

/**
 * Every condition as Unknown: what an object gets at the first visit, and what cannot be told while something is wrong.
 */
export function unknownSayings(message: string): Sayings {
  const saying: Saying = { status: 'Unknown', reason: REASONS.unknown, message }
  return Object.fromEntries(CONDITION_TYPES.map((type) => [type, saying])) as Sayings
}

/**
 * Conditions for the status. The time of the last transition moves only with the status of a condition. `now` in
 * milliseconds since the epoch.
 */
export function conditionsOf(
  sayings: Sayings,
  before: readonly Condition[],
  generation: number,
  now: number,
): readonly Condition[] {
  return (Object.entries(sayings) as [ConditionType, Saying][]).map(([type, { status, reason, message }]) => {
    const old = before.find((condition) => condition.type === type)
    return {
      type,
      status,
      observedGeneration: generation,
      lastTransitionTime: old?.status === status ? old.lastTransitionTime : secondTime(now),
      reason,
      message: message.slice(0, 1024),
    }
  })
}
