import type { Clock } from '../clock.ts'
import type { Logger } from '../log.ts'
import type { Condition, ScalerStatus } from './api.ts'
import type { Memory } from './decide.ts'
import { createDrain, type Drain } from './drain.ts'
import { parseSelector, type LabelTest } from './pods.ts'
import type { Scale } from './resources.ts'
import { createStartTimes, type StartTimes } from './starts.ts'
import type { Viewer } from './view.ts'
import { createWrites, type Writes } from './writes.ts'

/** What is remembered of one scaler during one term. A new term begins with nothing. */
export interface State {
  readonly key: string
  readonly uid: string
  generation: number
  memory: Memory | undefined
  /** The scale as it was read or written last; undefined where it must be read. */
  scale: KnownScale | undefined
  /** There was no Deployment when the scale was read last. */
  lacksTarget: boolean
  readonly drain: Drain
  readonly starts: StartTimes
  readonly writes: Writes
  /** Redis did not answer at the last turn. */
  redisAway: boolean
  /** Its pods could not be protected at the last turn. */
  protectFails: boolean
  lastScaleTime: string | undefined
  /** The status as it was written last. */
  written: { readonly status: ScalerStatus; readonly conditions: readonly Condition[]; readonly at: number } | undefined
  /** Lets draining pods work again. */
  abandon: (() => Promise<void>) | undefined
  /** Takes away what keeps cluster autoscalers from its pods. */
  unprotect: (() => Promise<void>) | undefined
  /** Whose looks at Redis are for this scaler, too. */
  viewer: Viewer | undefined
}

export interface KnownScale {
  readonly value: Scale
  /** Monotonic ms. */
  readAt: number
  /** Whether a pod's labels are those that the scale selects. */
  readonly fits: LabelTest
}

export function createState(key: string, uid: string, log: Logger, clock: Clock): State {
  return {
    key,
    uid,
    generation: -1,
    memory: undefined,
    scale: undefined,
    lacksTarget: false,
    drain: createDrain(log.child({ scaler: key }), clock),
    starts: createStartTimes(),
    writes: createWrites(),
    redisAway: false,
    protectFails: false,
    lastScaleTime: undefined,
    written: undefined,
    abandon: undefined,
    unprotect: undefined,
    viewer: undefined,
  }
}

/** Takes a scale for true that was just read or written. */
export function believe(state: State, scale: Scale, now: number): void {
  const fits = state.scale?.value.selector === scale.selector ? state.scale.fits : parseSelector(scale.selector)
  state.scale = { value: scale, readAt: now, fits }
}
