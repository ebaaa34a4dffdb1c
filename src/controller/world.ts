import type { Clock } from '../clock.ts'
import type { Logger } from '../log.ts'
import type { ScalerMetrics } from '../telemetry/controllermetrics.ts'
import type { ApiServer } from './apiserver.ts'
import type { Connection, Connections } from './connections.ts'
import type { Recorder } from './events.ts'
import type { Term } from './leader.ts'
import type { PodSource } from './podwatch.ts'
import type { KubeObject } from './resources.ts'
import type { Viewer } from './view.ts'

/** A WorkerScaler as it came from the API server: not checked yet. */
export interface ScalerObject extends KubeObject {
  readonly spec?: { readonly scaleTargetRef?: { readonly name?: unknown } }
}

/** All that a turn of a scaler may use, for one term of leadership. */
export interface World {
  readonly api: ApiServer
  readonly connections: Connections
  readonly term: Term
  readonly log: Logger
  readonly clock: Clock
  readonly recorder: Recorder
  readonly metrics: ScalerMetrics
  /** Nothing is written but status, events and conditions. */
  readonly dryRun: boolean
  /** Fields that the CRD in the cluster lacks. */
  readonly outdated: () => readonly string[]
  /** By `<namespace>/<name>`. */
  readonly scaler: (key: string) => ScalerObject | undefined
  readonly pods: (namespace: string) => PodSource
  readonly viewer: (connection: Connection) => Viewer
  /** Asks for a turn of this key. */
  readonly enqueue: (key: string, afterMs?: number) => void
}

export function keyOf(object: KubeObject): string {
  return `${object.metadata.namespace}/${object.metadata.name}`
}
