import type { Scaler, ScalerSpec } from '../../src/controller/api.ts'
import {
  decide,
  type Decision,
  type Memory,
  type Observation,
  type QueueObservation,
} from '../../src/controller/decide.ts'
import { NO_FLOW } from '../../src/controller/decide/foreign.ts'
import { problemText, readScaler } from '../../src/controller/readscaler.ts'

/** A `WorkerScaler` as a user would write it, with fields of the spec replaced. */
export function scalerObject(spec: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    apiVersion: 'resqueue.dev/v1alpha1',
    kind: 'WorkerScaler',
    metadata: { name: 'mailers', namespace: 'shop' },
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'mailers' },
      queues: ['mailers'],
      maxReplicas: 50,
      target: { latencySeconds: 30 },
      slotsPerReplica: 4,
      ...spec,
    },
  }
}

export function scalerOf(spec: Record<string, unknown> = {}): Scaler {
  const reading = readScaler(scalerObject(spec), { strict: true })
  if (!reading.ok) throw new Error(reading.problems.map(problemText).join('; '))
  return reading.scaler
}

export function specOf(spec: Record<string, unknown> = {}): ScalerSpec {
  return scalerOf(spec).spec
}

export function queueOf(fields: Partial<QueueObservation> = {}): QueueObservation {
  return {
    name: 'mailers',
    waiting: 0,
    headAgeSeconds: null,
    paused: false,
    flow: NO_FLOW,
    running: 0,
    runningMs: 0,
    due: [],
    share: 1,
    ...fields,
  }
}

/** What a controller sees of one queue and of pods that all work. */
export function observationOf(
  replicas: number,
  queue: Partial<QueueObservation> = {},
  fields: Partial<Observation> = {},
): Observation {
  return {
    replicas,
    pods: { ready: replicas, starting: [], unschedulable: 0, notStarting: false, terminatingRunning: 0 },
    queues: [queueOf(queue)],
    foreign: [],
    registeredSlots: replicas > 0 ? 4 : null,
    podStartSeconds: 20,
    lastServiceSeconds: 1,
    lastSlotsPerReplica: null,
    hold: null,
    ...fields,
  }
}

/** Decides again and again, every two seconds; the replicas follow at once. */
export function follow(
  observations: readonly ((replicas: number, second: number) => Observation)[],
  {
    of = specOf(),
    start = 0,
    replicas = 0,
    memory: before,
  }: { of?: ScalerSpec; start?: number; replicas?: number; memory?: Memory } = {},
): readonly Decision[] {
  let memory = before
  let current = replicas
  return observations.map((observe, i) => {
    const second = start + 2 * i
    const decision = decide(of, observe(current, second), memory, second * 1000)
    memory = decision.nextMemory
    current = decision.replicas
    return decision
  })
}

export const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value)
export const last = (decisions: readonly Decision[]): Decision => decisions.at(-1) as Decision
