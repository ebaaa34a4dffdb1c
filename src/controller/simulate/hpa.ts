import type { Stamped } from '../decide/types.ts'

/**
 * The HorizontalPodAutoscaler on an External metric of type AverageValue, without `behavior`, as its source has it
 * (kubernetes/kubernetes:pkg/controller/podautoscaler):
 *
 * - Every 15 s (--horizontal-pod-autoscaler-sync-period),
 *   https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#how-does-a-horizontalpodautoscaler-work
 * - desired = ⌈metric ÷ averageValue⌉, kept as it is while metric ÷ (averageValue × replicas) is within 0.1 of 1
 *   (--horizontal-pod-autoscaler-tolerance). Neither readiness nor missing metrics of pods count for this kind of metric:
 *   replica_calculator.go, GetExternalPerPodMetricReplicas.
 * - The highest recommendation of the last 300 s counts (--horizontal-pod-autoscaler-downscale-stabilization), also
 *   where it is above the present number: replicas go on rising to what was wanted when the queue was longest.
 *   horizontal.go, stabilizeRecommendation; the window of a `behavior` holds downwards only.
 * - Up to 4, or to twice as many, at each look: horizontal.go, calculateScaleUpLimit. "4 pods or 100 % per 15 s" are the
 *   defaults of a `behavior` that is there: pkg/apis/autoscaling/v2/defaults.go leaves one that is absent absent, and
 *   KEDA writes none unless it is told to.
 * - At zero replicas it is off, unless minReplicas is 0, which HPAScaleToZero allows.
 */
export const HPA_SYNC_SECONDS = 15
const TOLERANCE = 0.1
const DOWNSCALE_STABILIZATION_SECONDS = 300
const SCALE_UP_FACTOR = 2
const SCALE_UP_MINIMUM = 4

export interface Hpa {
  /** What `spec.replicas` becomes. `now` in seconds. */
  readonly sync: (metric: number, replicas: number, now: number) => number
}

export function createHpa(averageValue: number, minReplicas: number, maxReplicas: number): Hpa {
  let recommendations: Stamped[] = []
  return {
    sync: (metric, replicas, now) => {
      if (replicas === 0 && minReplicas > 0) return 0
      const isWithin = Math.abs(metric / (averageValue * replicas) - 1) <= TOLERANCE
      const wanted = isWithin ? replicas : Math.ceil(metric / averageValue)
      // Looks are a few milliseconds more than 15 s apart, so that the one 300 s ago no longer counts.
      recommendations = recommendations.filter(([at]) => now - at < DOWNSCALE_STABILIZATION_SECONDS)
      recommendations.push([now, wanted])
      const highest = Math.max(...recommendations.map(([, value]) => value))
      const most = Math.min(maxReplicas, Math.max(SCALE_UP_FACTOR * replicas, SCALE_UP_MINIMUM))
      return Math.max(minReplicas, Math.min(highest, most))
    },
  }
}
