import type { ScalingRules } from '../api.ts'
import { longestPeriod, scaleDownLimit, scaleUpLimit } from '../decide/behavior.ts'
import type { Stamped } from '../decide/types.ts'

/**
 * The HorizontalPodAutoscaler on an External metric of type AverageValue, as its documentation and source have it:
 *
 * - Every 15 s (--horizontal-pod-autoscaler-sync-period), https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#how-does-a-horizontalpodautoscaler-work
 * - desired = ⌈metric ÷ averageValue⌉, kept as it is while metric ÷ (averageValue × replicas) is within 0.1 of 1
 *   (--horizontal-pod-autoscaler-tolerance). Neither readiness nor missing metrics of pods count for this kind of metric:
 *   kubernetes/kubernetes:pkg/controller/podautoscaler/replica_calculator.go, GetExternalPerPodMetricReplicas.
 * - Default behaviour: up by 4 pods or 100 % per 15 s, whichever is more, without a window; down by all of them, but not below the
 *   highest recommendation of the last 300 s: #default-behavior of the same page; pkg/apis/autoscaling/v2/defaults.go.
 * - At zero replicas it is off, unless minReplicas is 0, which HPAScaleToZero allows.
 */
export const HPA_SYNC_SECONDS = 15
const TOLERANCE = 0.1
const SCALE_UP: ScalingRules = {
  stabilizationWindowSeconds: 0,
  selectPolicy: 'Max',
  policies: [
    { type: 'Percent', value: 100, periodSeconds: 15 },
    { type: 'Pods', value: 4, periodSeconds: 15 },
  ],
  tolerance: TOLERANCE,
}
const SCALE_DOWN: ScalingRules = {
  stabilizationWindowSeconds: 300,
  selectPolicy: 'Max',
  policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
  tolerance: TOLERANCE,
}

export interface Hpa {
  /** What `spec.replicas` becomes. `now` in seconds. */
  readonly sync: (metric: number, replicas: number, now: number) => number
}

export function createHpa(averageValue: number, minReplicas: number, maxReplicas: number): Hpa {
  let recommendations: Stamped[] = []
  let changes: Stamped[] = []
  return {
    sync: (metric, replicas, now) => {
      if (replicas === 0 && minReplicas > 0) return 0
      const ms = now * 1000
      const ratio = metric / (averageValue * replicas)
      const within = replicas > 0 ? Math.abs(ratio - 1) <= TOLERANCE : metric === 0
      const wanted = within ? replicas : Math.ceil(metric / averageValue)
      recommendations = recommendations.filter(([at]) => ms - at <= SCALE_DOWN.stabilizationWindowSeconds * 1000)
      recommendations.push([ms, wanted])
      const highest = Math.max(...recommendations.map(([, value]) => value))
      const stable = wanted > replicas ? wanted : Math.min(replicas, highest)
      const most = Math.min(maxReplicas, scaleUpLimit(SCALE_UP, replicas, changes, ms))
      const least = Math.max(minReplicas, scaleDownLimit(SCALE_DOWN, replicas, changes, ms))
      const next = Math.min(Math.max(stable, least), most)
      changes = changes.filter(([at]) => ms - at < longestPeriod(SCALE_UP, SCALE_DOWN) * 1000)
      if (next !== replicas) changes.push([ms, next - replicas])
      return next
    },
  }
}
