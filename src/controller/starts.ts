import type { Pod } from './pods.ts'

/** Starts that are remembered, and the longest that counts. */
const MOST_STARTS = 30
const LONGEST_SECONDS = 600

/** How long the pods of a scaler take to start. */
export interface StartTimes {
  /** Notes when the first worker of a pod registered, once for each pod. */
  note(pod: Pod, registeredMs: number): void
  /** 90th percentile of the seconds from the moment a pod had its node to its first registration; null before any. */
  readonly p90: number | null
}

export function createStartTimes(): StartTimes {
  const seen = new Map<string, number>()
  return {
    note: (pod, registeredMs) => {
      // After a restart its first registration is gone, and this one says nothing.
      if (seen.has(pod.uid) || pod.restarts > 0) return
      const seconds = (registeredMs - (pod.scheduledMs ?? pod.createdMs)) / 1000
      seen.set(pod.uid, Math.min(Math.max(seconds, 0), LONGEST_SECONDS))
      if (seen.size > MOST_STARTS) seen.delete(seen.keys().next().value as string)
    },
    get p90() {
      const sorted = [...seen.values()].sort((a, b) => a - b)
      return sorted[Math.ceil(0.9 * sorted.length) - 1] ?? null
    },
  }
}
