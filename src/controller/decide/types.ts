import type { Flow } from '../../queue/demand.ts'
import type { DemandTerms } from '../api.ts'

/** What is known of one queue of a scaler at one moment. Numbers are of the whole queue, whoever works it. */
export interface QueueObservation {
  readonly name: string
  readonly waiting: number
  /**
   * Seconds since the job at the head was put into the queue, as its payload tells; `null`: it does not tell, or
   * nothing waits.
   */
  readonly headAgeSeconds: number | null
  readonly paused: boolean
  /** The counters of `ext:flow`: rising for ever; all 0 where there are none. */
  readonly flow: Flow
  /** Jobs of this queue that run now in workers of ours, also in terminating pods. */
  readonly running: number
  /** The sum, over these jobs, of the milliseconds since each was taken. */
  readonly runningMs: number
  /** Delayed jobs for this queue that become due within `lookaheadSeconds`; those beyond count nothing. */
  readonly due: readonly Due[]
  /** This scaler's part of the queue, 0 to 1: 1, unless several scalers list it. */
  readonly share: number
}

export interface Due {
  readonly inSeconds: number
  readonly count: number
}

/** A worker of another program, as the family's keys show it. */
export interface ForeignWorker {
  readonly id: string
  /** Its `stat:processed:<id>`; `null`: it does not count. */
  readonly processed: number | null
  /** The queue of the job that it runs; `null`: it is idle. */
  readonly queue: string | null
  /** When it took that job, in whatever form; empty where it does not say. */
  readonly runAt: string
}

/** The pods of the target, without those of older ReplicaSets that nobody counts any more. */
export interface PodsObservation {
  /** Ready, registered and not terminating; drained ones too, because taking the mark away is enough to use them. */
  readonly ready: number
  /**
   * For each pod that does not work yet (neither ready nor terminating nor unschedulable): seconds since it had a node,
   * or else since it was created.
   */
  readonly starting: readonly number[]
  /** Pods that the scheduler has found no node for in the last 60 s or longer. */
  readonly unschedulable: number
  /** Whether there are new pods and all of them have restarted three times or more. */
  readonly notStarting: boolean
  /** Jobs that run in terminating pods: they are work, but neither floor nor capacity. */
  readonly terminatingRunning: number
}

/** All that `decide` looks at. */
export interface Observation {
  /** `spec.replicas` of the target's scale. */
  readonly replicas: number
  readonly pods: PodsObservation
  readonly queues: readonly QueueObservation[]
  readonly foreign: readonly ForeignWorker[]
  /** Median slots of the ready, registered pods; `null`: there are none. */
  readonly registeredSlots: number | null
  /**
   * p90 of the seconds from a pod's creation to its first registration, waiting for a node excluded; `null`: not
   * measured yet.
   */
  readonly podStartSeconds: number | null
  /** `status.serviceSeconds` and `status.slotsPerReplica` as they were read; for the first decision after a start. */
  readonly lastServiceSeconds: number | null
  readonly lastSlotsPerReplica: number | null
  /** Why nothing may be changed although all could be read. `null`: all is well. */
  readonly hold: Hold | null
}

export interface Hold {
  readonly reason: 'ReplicasContested'
  readonly message: string
}

/** The term or rule that made the number. */
export type DecisionReason =
  | 'Rate'
  | 'Backlog'
  | 'Busy'
  | 'Lookahead'
  | 'Depth'
  /** Work is there, or was until a moment ago: at least one replica. */
  | 'Active'
  /** Nothing waits and nothing runs, for the cooldown or longer. */
  | 'Idle'
  | 'MinReplicas'
  | 'MaxReplicas'
  /** The difference is within the tolerance. */
  | 'WithinTolerance'
  /** Held: it is not to be acted on. */
  | Hold['reason']

/** What kept the number from being what the demand asked for; the reasons of the HPA's conditions, where it has one. */
export type Limit =
  | 'TooFewReplicas'
  | 'TooManyReplicas'
  | 'ScaleUpLimit'
  | 'ScaleDownLimit'
  | 'ScaleUpStabilized'
  | 'ScaleDownStabilized'
  | 'Cooldown'
  | 'Unschedulable'
  | 'PodsNotStarting'

/** The answer, with everything needed to explain it. */
export interface Decision {
  /** What `spec.replicas` should become. Lowering it is the drain's business. */
  readonly replicas: number
  readonly reason: DecisionReason
  /** `null`: nothing stood in the way. */
  readonly limitedBy: Limit | null
  readonly hold: Hold | null
  /** Replicas that the demand asks for, before rounding, tolerance, limits and behaviour. */
  readonly raw: number
  readonly terms: DemandTerms
  /** Jobs that wait in queues that are not paused, this scaler's share of them. */
  readonly waiting: number
  readonly running: number
  /** Jobs per second, this scaler's share. */
  readonly arrivalRate: number
  /** Mean seconds that a job runs, over the queues as they are loaded. */
  readonly serviceSeconds: number
  /** Age of the oldest waiting job; 0 when none waits. */
  readonly latencySeconds: number
  readonly slotsPerReplica: number
  readonly podStartSeconds: number
  /** Whether anything waits, runs or is due soon. */
  readonly active: boolean
  /** Names of paused queues in which jobs wait. */
  readonly pausedQueues: readonly string[]
  /** Give it to the next call. */
  readonly nextMemory: Memory
}

/**
 * What `decide` remembers between two calls: plain data. `undefined` at the first call, after a change of leader too.
 */
export interface Memory {
  /** Of the last observation that was good; milliseconds. */
  readonly at: number
  /** The spec as it was then, as JSON. */
  readonly spec: string
  readonly replicas: number
  /** When they were last seen to change. */
  readonly changedAt: number
  /** When they were last seen to be more than `minReplicas` after they were not; `null`: never yet. */
  readonly roseAt: number | null
  /**
   * To how many replicas the scale-down under way leads; `null`: none is. Pods with long jobs become free one by one,
   * so it can take many steps.
   */
  readonly descentTo: number | null
  readonly queues: Readonly<Record<string, QueueMemory>>
  readonly foreign: ForeignMemory
  /**
   * Until when nothing is scaled down: one window after the first call, a change of the spec and a gap between two
   * looks.
   */
  readonly noDownBefore: number
  /** Since when looks find that nothing waits or runs; `null`: something does. */
  readonly idleSince: number | null
  /** Demand that is the highest, or the lowest, from its moment on: for the stabilization windows. */
  readonly highs: readonly Stamped[]
  readonly lows: readonly Stamped[]
  /** Changes of the replicas that were seen, for the policies. */
  readonly changes: readonly Stamped[]
  readonly blocked: Blocked | null
}

export type Stamped = readonly [at: number, value: number]

export interface Blocked {
  readonly reason: 'Unschedulable' | 'PodsNotStarting'
  /** From then on all replicas are tried again. Milliseconds. */
  readonly retryAt: number
}

export interface QueueMemory {
  readonly waiting: number
  readonly flow: Flow
  readonly runningMs: number
  /** Jobs per second: over the last minute, over the last ten seconds, and between the last two looks. */
  readonly rate: number
  readonly fastRate: number
  readonly lastRate: number
  /** The lesser of the last two `lastRate`: what was not over in an instant. */
  readonly sustainedRate: number
  /**
   * Decayed sums: busy seconds and ends, put-backs among them, of five minutes and of 45 seconds; busy seconds and
   * starts of two jobs' time, or of six seconds.
   */
  readonly busy: number
  readonly ended: number
  readonly recentBusy: number
  readonly recentEnded: number
  readonly paceBusy: number
  readonly paceStarted: number
  /** What the jobs ran that have ended, in seconds: decayed as `ended` is. */
  readonly endedBusy: number
  /**
   * Decayed sums of running jobs and of their ages, in seconds, as each look found them; and the mean age as the last
   * looks found it.
   */
  readonly ran: number
  readonly aged: number
  readonly meanAge: number
  /** Jobs that run, those of foreign workers among them, on average over the last ten seconds. */
  readonly meanRunning: number
  /** The estimate that counts while there are no ends. */
  readonly serviceSeconds: number
  /** Jobs that arrived since the look before. */
  readonly came: number
  /** Ends seen, as far as it takes to know the service time. */
  readonly seen: number
  /** Jobs that had arrived by a moment: waiting plus started. For the age of what waits. */
  readonly arrived: readonly Stamped[]
}

export interface ForeignMemory {
  readonly workers: Readonly<Record<string, readonly [processed: number | null, queue: string | null, runAt: string]>>
  /** Started, ended and busy milliseconds of foreign workers, by queue. */
  readonly flow: Readonly<Record<string, Flow>>
}
