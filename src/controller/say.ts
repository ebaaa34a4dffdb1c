import { some } from '../wording.ts'
import type { Scaler } from './api.ts'
import { REASONS, type Saying, type Sayings } from './conditions.ts'
import type { Decision, Limit } from './decide.ts'
import type { Observed } from './observe.ts'

/** What a turn found out, as far as it came. */
export interface Findings {
  readonly scaler: Scaler
  readonly observed: Observed | undefined
  readonly decision: Decision | undefined
  /** What stands in the way of scaling; undefined: nothing. */
  readonly trouble: Saying | undefined
  readonly dryRun: boolean
  /** The CRD that the API server serves lacks fields that this controller knows. */
  readonly outdated: readonly string[]
  /** Why a scale-down waits, in words. */
  readonly waits: string | undefined
}

const LIMITS: Readonly<Partial<Record<Limit, string>>> = {
  TooFewReplicas: 'the demand is below minReplicas',
  TooManyReplicas: 'the demand is above maxReplicas',
  ScaleUpLimit: 'behavior.scaleUp allows no more for now',
  ScaleDownLimit: 'behavior.scaleDown allows no fewer for now',
  Unschedulable: 'pods find no node: more of them would not help; all are tried again every 5 minutes',
  PodsNotStarting: 'new pods restart again and again: more of them would not help; all are tried again every 5 minutes',
}

/** What comes of workers that know no drain marks. */
const UNMARKED = 'a pod is given up only after it was seen idle twice and nothing waits, yet may have taken a job since'

const NO_WORKERS =
  "no worker of these pods is registered in the scaler's Redis: those that are ready may run jobs and are not given up. Where that lasts, spec.redis or its namespace is not what the workers use, or Redis has lost its data and the workers are to be restarted"

/** All conditions, from what is known. */
export function sayings(found: Findings): Sayings {
  const { scaler, observed, decision } = found
  return {
    Ready: ready(found),
    Active: active(decision),
    ScalingLimited: limited(decision),
    Paused: scaler.spec.paused
      ? { status: 'True', reason: REASONS.paused, message: 'spec.paused is true: the scale is left alone' }
      : { status: 'False', reason: REASONS.notPaused, message: 'spec.paused is false' },
    DrainSupported: drains(scaler, observed),
    QueuesMatch: queuesMatch(observed),
  }
}

function ready({ trouble, dryRun, outdated, decision, waits }: Findings): Saying {
  if (trouble) return trouble
  if (outdated.length > 0) {
    return {
      status: 'True',
      reason: REASONS.crdOutdated,
      message: `The CRD in the cluster lacks ${outdated.join(', ')}: apply the one of this version (docs/operations.md).`,
    }
  }
  const reason = dryRun ? REASONS.dryRun : REASONS.ready
  const said =
    decision === undefined
      ? 'nothing was decided yet'
      : `${decision.replicas} replicas wanted (${decision.reason})${waits === undefined ? '' : `; ${waits}`}`
  return { status: 'True', reason, message: dryRun ? `dry run, nothing is written: ${said}` : said }
}

function active(decision: Decision | undefined): Saying {
  if (!decision) return unknown()
  if (decision.active) return { status: 'True', reason: REASONS.active, message: 'jobs wait, run or come due soon' }
  if (decision.pausedQueues.length > 0) {
    return {
      status: 'False',
      reason: REASONS.queuePaused,
      message: `jobs wait in ${some(decision.pausedQueues, 20)}, which is paused: resqueue queue resume ends that`,
    }
  }
  return { status: 'False', reason: REASONS.idle, message: 'nothing waits and nothing runs' }
}

function limited(decision: Decision | undefined): Saying {
  if (!decision) return unknown()
  const why = decision.limitedBy === null ? undefined : LIMITS[decision.limitedBy]
  if (decision.limitedBy !== null && why !== undefined)
    return { status: 'True', reason: decision.limitedBy, message: why }
  return {
    status: 'False',
    reason: REASONS.withinLimits,
    message: decision.limitedBy === null ? 'nothing limits the replicas' : `waiting: ${decision.limitedBy}`,
  }
}

function drains(scaler: Scaler, observed: Observed | undefined): Saying {
  if (!scaler.spec.scaleDown.drain)
    return {
      status: 'False',
      reason: REASONS.drainOff,
      message: 'scaleDown.drain is false: running jobs are interrupted',
    }
  if (!observed) return unknown()
  const { fleet, observation } = observed
  if (fleet === 'ours') return { status: 'True', reason: REASONS.drains, message: 'the workers know drain marks' }
  if (fleet === 'foreign') {
    return {
      status: 'False',
      reason: REASONS.foreign,
      message: `workers of another program: ${UNMARKED}. Give its image STOPSIGNAL SIGQUIT, or a preStop hook that sends QUIT and waits`,
    }
  }
  if (fleet === 'unaware') {
    return {
      status: 'False',
      reason: REASONS.unaware,
      message: `workers whose POD_NAMESPACE is not the namespace of their pod look for no drain marks of it: ${UNMARKED}. Set POD_NAMESPACE from metadata.namespace`,
    }
  }
  const message =
    observation.pods.ready > 0
      ? NO_WORKERS
      : 'no pod is ready: whether their workers know drain marks shows when one is'
  return { status: 'Unknown', reason: REASONS.noWorkers, message }
}

function queuesMatch(observed: Observed | undefined): Saying {
  if (!observed) return unknown()
  if (observed.otherQueues !== undefined) {
    return {
      status: 'False',
      reason: REASONS.queuesDiffer,
      message: `the workers serve ${some(observed.otherQueues, 20)}: that is not what spec.queues says`,
    }
  }
  if (observed.shared.length > 0) {
    return {
      status: 'True',
      reason: REASONS.queueShared,
      message: `other scalers list ${some(observed.shared, 20)} too: what waits there is shared out by maxReplicas and slots`,
    }
  }
  if (observed.fleet !== 'ours' && observed.fleet !== 'unaware') {
    const message = 'no worker of ResQueue has registered from these pods: what they serve is not known'
    return { status: 'Unknown', reason: REASONS.noWorkers, message }
  }
  return { status: 'True', reason: REASONS.queuesMatch, message: 'the workers serve the queues of the spec' }
}

function unknown(): Saying {
  return { status: 'Unknown', reason: REASONS.unknown, message: 'not observed yet' }
}
