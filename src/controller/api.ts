/**
 * The `WorkerScaler` API, `resqueue.dev/v1alpha1`: the types that the controller, the simulator and the command line
 * share.
 */
export const API_VERSION = 'resqueue.dev/v1alpha1'
export const KIND = 'WorkerScaler'

/** What is scaled. Only Deployments can be drained as the controller does it. */
export interface ScaleTargetRef {
  readonly apiVersion: string
  readonly kind: 'Deployment'
  readonly name: string
}

/** A job should start within so many seconds of being enqueued. */
export interface LatencyTarget {
  readonly latencySeconds: number
  /** Queues with a target of their own, by name. */
  readonly latencySecondsByQueue: Readonly<Record<string, number>>
}

/** Plain depth: waiting and running jobs per replica. */
export interface DepthTarget {
  readonly jobsPerReplica: number
}

/** How many replicas may come or go within a period, as in `autoscaling/v2`. */
export interface ScalingPolicy {
  readonly type: 'Pods' | 'Percent'
  readonly value: number
  readonly periodSeconds: number
}

/** One direction of `spec.behavior`, with the meaning that it has in `autoscaling/v2`. */
export interface ScalingRules {
  /** How long the most cautious of the last recommendations counts. Up: 0, down: 60 unless told. */
  readonly stabilizationWindowSeconds: number
  /** Which of several policies counts; `Disabled`: never in this direction. */
  readonly selectPolicy: 'Max' | 'Min' | 'Disabled'
  /** None: no limit, which is the default in both directions. */
  readonly policies: readonly ScalingPolicy[]
  /**
   * A difference from the current replicas that is not acted upon, as a fraction of them: 0.05 is 5 %. `null`: a tenth
   * of a replica, and for the rate the 5 % that its headroom is at least; downwards a tenth of a replica or 2 %,
   * whichever is more.
   */
  readonly tolerance: number | null
}

/** `spec` with every default filled in. */
export interface ScalerSpec {
  readonly scaleTargetRef: ScaleTargetRef
  /** Queues in the workers' own grammar: names, `*`, globs, `!skip`. 1 to 64. */
  readonly queues: readonly string[]
  /** One of the connections that the controller is configured with. */
  readonly redis: { readonly name: string }
  readonly minReplicas: number
  readonly maxReplicas: number
  readonly target: LatencyTarget | DepthTarget
  /** `null`: what the registered workers say. */
  readonly slotsPerReplica: number | null
  readonly pollingIntervalSeconds: number
  /** Idle so long before going to zero. */
  readonly cooldownSeconds: number
  readonly behavior: { readonly scaleUp: ScalingRules; readonly scaleDown: ScalingRules }
  readonly scaleDown: {
    readonly drain: boolean
    /** 0: wait for as long as jobs run. */
    readonly drainTimeoutSeconds: number
  }
  /** Who is told not to disturb a pod while a long job runs in it. */
  readonly protect: readonly Protector[]
  readonly paused: boolean
}

export type Protector = 'karpenter' | 'clusterAutoscaler'

export const CONDITION_TYPES = ['Ready', 'Active', 'ScalingLimited', 'Paused', 'DrainSupported', 'QueuesMatch'] as const
export type ConditionType = (typeof CONDITION_TYPES)[number]

export interface Condition {
  readonly type: ConditionType
  readonly status: 'True' | 'False' | 'Unknown'
  readonly observedGeneration: number
  readonly lastTransitionTime: string
  /** CamelCase. */
  readonly reason: string
  readonly message: string
}

/** Replicas that each term of the demand asks for, before rounding. */
export interface DemandTerms {
  /** Arrivals × service time, with headroom. */
  readonly rate: number
  /** What it takes to start every waiting job in time; with a depth target: jobs ÷ `jobsPerReplica`. */
  readonly backlog: number
  /** Slots that run a job. */
  readonly busy: number
  /** The backlog with the delayed jobs that will be due by the time a new pod could work. */
  readonly lookahead: number
}

export interface ScalerStatus {
  readonly observedGeneration?: number
  readonly replicas?: number
  readonly desiredReplicas?: number
  readonly jobs?: { readonly waiting: number; readonly running: number }
  /** Age of the oldest waiting job. */
  readonly latencySeconds?: number
  /** Jobs per second. */
  readonly arrivalRate?: number
  /** Mean seconds that a job runs. A new leader starts from it. */
  readonly serviceSeconds?: number
  readonly demand?: DemandTerms
  readonly draining?: { readonly count: number; readonly names: readonly string[] }
  readonly slotsPerReplica?: number
  readonly lastScaleTime?: string
  readonly conditions?: readonly Condition[]
}

/** A `WorkerScaler` as the controller works with it: read, checked, defaults filled in. */
export interface Scaler {
  readonly name: string
  /** Empty where the object names none. */
  readonly namespace: string
  readonly uid: string
  readonly generation: number
  readonly creationTimestamp: string
  readonly spec: ScalerSpec
  /** As it was read; fields of another type are left out. */
  readonly status: ScalerStatus
}

/** Something in a `WorkerScaler` that cannot be: where, and what to write instead. */
export interface Problem {
  /** `['spec', 'queues', 0]` */
  readonly path: readonly (string | number)[]
  readonly message: string
}
