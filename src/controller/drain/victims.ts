import type { Pod } from '../pods.ts'

/** A pod that is to be given up. */
export interface Victim {
  readonly pod: Pod
  /** Monotonic ms since which it surely bears our mark; Infinity: the answer is still out. */
  since: number
  /** -Infinity: the mark is to be set at the next step. */
  renewedAt: number
  costAt: number | undefined
  /** How often another program has written over its cost. */
  costsLost: number
  /**
   * When the scale was lowered for it, or may have been (an answer can be lost); later, when there was no room for it
   * last.
   */
  releasedAt: number | undefined
}

/** By uid. */
export type Victims = Map<string, Victim>

/** A victim before its mark is set. */
export function unmarkedVictim(pod: Pod): Victim {
  return { pod, since: Infinity, renewedAt: -Infinity, costAt: undefined, costsLost: 0, releasedAt: undefined }
}
