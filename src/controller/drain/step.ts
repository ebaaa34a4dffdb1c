import type { Store } from '../../redis/store.ts'
import { some } from '../../wording.ts'
import type { Scaler } from '../api.ts'
import type { ApiServer } from '../apiserver.ts'
import type { Term } from '../leader.ts'
import type { Fleet } from '../observe.ts'
import type { Pod } from '../pods.ts'
import type { Scale } from '../resources.ts'
import type { RedisView } from '../view.ts'

/** Between two looks at a drain under way. Milliseconds. */
export const SOON_MS = 500

/**
 * From writing the costs to lowering the scale: what the ReplicaSet controller needs to have seen them. Milliseconds.
 */
export const COST_MS = 1000
/**
 * So long at most victims that are idle wait for those that are not, from their cost on, so that one write does for
 * many. Milliseconds.
 */
export const GATHER_MS = 20_000

/** What a step of a drain works with. */
export interface DrainInput {
  readonly api: ApiServer
  readonly store: Store
  readonly term: Term
  readonly scaler: Scaler
  /** Of the target, from the watch. */
  readonly pods: readonly Pod[]
  readonly scale: Scale
  readonly view: RedisView
  readonly fleet: Fleet
  readonly queues: readonly string[]
  /** Jobs that wait, for workers that know no marks. */
  readonly waiting: number
  readonly desired: number
  /** Told of each write of the scale before it goes out. */
  readonly sending: (replicas: number) => void
  /** Told when a drain begins, and when one took too long. */
  readonly record: (reason: 'DrainStarted' | 'DrainTimedOut', note: string) => void
}

export type DrainStep =
  | { readonly kind: 'scaled'; readonly from: number; readonly scale: Scale }
  /** Not yet; look again soon. `why`: what stands in the way, for people. */
  | { readonly kind: 'waiting'; readonly afterMs: number; readonly why: string }
  /** The scale or the pods are not what they were thought to be. */
  | { readonly kind: 'changed' }

/** Of pods, for people. */
export function namesOf(pods: readonly Pod[]): string {
  return some(
    pods.map(({ name }) => name),
    5,
  )
}
