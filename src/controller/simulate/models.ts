import type { ScalerSpec } from '../api.ts'
import { decide } from '../decide.ts'
import type { Decision, Memory, Observation } from '../decide/types.ts'
import { COST_MS, GATHER_MS } from '../drain/step.ts'
import type { Fleet, Pod } from './fleet.ts'
import { createHpa, HPA_SYNC_SECONDS } from './hpa.ts'

/**
 * Something that scales a fleet: loops that each run at their own interval. A loop's first turn comes after half of it,
 * which is the average of chance.
 */
export type Scaling = (fleet: Fleet) => readonly Loop[]

export interface Loop {
  readonly everySeconds: number
  readonly turn: () => void
}

export interface Model {
  readonly name: string
  /** The depth target, for models that have one. */
  readonly depthTarget: number | null
  readonly scaling: Scaling
}

/** What the controller finds out about pods and jobs, and `status.serviceSeconds` as it was before, if it was. */
export interface Known {
  readonly slots: number
  readonly podStartSeconds: number
  readonly queue: string
  readonly serviceSeconds: number | null
}

/**
 * ResQueue's controller: `decide` with what it would observe, and a drain before each scale-down, unless the spec goes
 * without. `tell` is told of each decision.
 */
export function resqueue(
  spec: ScalerSpec,
  { slots, podStartSeconds, queue, serviceSeconds }: Known,
  tell: (decision: Decision, now: number) => void = () => undefined,
): Model {
  return {
    name: 'resqueue',
    depthTarget: null,
    scaling: (fleet) => {
      let memory: Memory | undefined
      let hasStarted = false
      const idleSince = new Map<Pod, number>()
      // The chart writes it into every spec.
      const known = { ...spec, slotsPerReplica: slots }
      const turn = (): void => {
        hasStarted ||= fleet.pods().some((pod) => fleet.isReady(pod))
        const seen = observe(fleet, queue, hasStarted ? podStartSeconds : null, serviceSeconds)
        const decision = decide(known, seen, memory, fleet.now() * 1000)
        memory = decision.nextMemory
        tell(decision, fleet.now())
        if (spec.scaleDown.drain) apply(fleet, decision.replicas, idleSince)
        else fleet.scale(decision.replicas)
      }
      return [{ everySeconds: spec.pollingIntervalSeconds, turn }]
    },
  }
}

function observe(
  fleet: Fleet,
  queue: string,
  podStartSeconds: number | null,
  lastServiceSeconds: number | null,
): Observation {
  const now = fleet.now()
  const { started, ended, returned, busySeconds, running, runningSeconds } = fleet.counters()
  const head = fleet.headArrivedAt()
  const pods = fleet.pods()
  const ready = pods.filter((pod) => fleet.isReady(pod)).length
  return {
    replicas: fleet.replicas(),
    pods: {
      ready,
      starting: pods.filter((pod) => !fleet.isReady(pod)).map(({ createdAt }) => now - createdAt),
      unschedulable: 0,
      notStarting: false,
      terminatingRunning: 0,
    },
    queues: [
      {
        name: queue,
        waiting: fleet.waiting(),
        headAgeSeconds: head === null ? null : now - head,
        paused: false,
        flow: { started, ended, returned, busyMs: busySeconds * 1000 },
        running,
        runningMs: runningSeconds * 1000,
        due: [],
        share: 1,
      },
    ],
    foreign: [],
    registeredSlots: null,
    podStartSeconds,
    lastServiceSeconds,
    lastSlotsPerReplica: null,
    hold: null,
  }
}

/**
 * Up at once; down by pods that are drained and idle, while those that do not work yet would be deleted before them.
 * `idleSince`: when pods that are drained were first seen idle; kept from turn to turn.
 */
function apply(fleet: Fleet, wanted: number, idleSince: Map<Pod, number>): void {
  const surplus = Math.max(0, fleet.replicas() - wanted)
  const working = fleet.pods().filter((pod) => fleet.isReady(pod))
  const unready = fleet.pods().length - working.length
  const toDrain = Math.max(0, surplus - unready)
  const drained = working.filter(({ drainedAt }) => drainedAt !== null).sort(byBusy)
  for (const pod of drained.slice(toDrain)) fleet.undrain(pod)
  if (wanted >= fleet.replicas()) {
    fleet.scale(wanted)
    return
  }
  const free = working.filter(({ drainedAt }) => drainedAt === null).sort(byBusy)
  const settled = drained.slice(0, toDrain).filter((pod) => isSettled(fleet, pod))
  for (const pod of idleSince.keys()) if (!settled.includes(pod)) idleSince.delete(pod)
  for (const pod of settled) if (!idleSince.has(pod)) idleSince.set(pod, fleet.now())
  const isLong = [...idleSince.values()].some((since) => fleet.now() - since >= GATHER_MS / 1000)
  const leaving = settled.length === toDrain || isLong ? settled.length : 0
  for (const pod of free.slice(0, Math.max(0, toDrain - drained.length))) fleet.drain(pod)
  fleet.scale(fleet.replicas() - Math.min(surplus, unready) - leaving)
}

function isSettled(fleet: Fleet, { running, drainedAt }: Pod): boolean {
  return running.size === 0 && drainedAt !== null && fleet.now() - drainedAt >= COST_MS / 1000
}

/** Those that run least first; of equal ones the youngest. */
function byBusy(a: Pod, b: Pod): number {
  return a.running.size - b.running.size || b.id - a.id
}

/** A HorizontalPodAutoscaler on the number of waiting jobs; hpa.ts has its rules. */
export function hpa(spec: ScalerSpec, name: string, averageValue: number): Model {
  return {
    name,
    depthTarget: averageValue,
    scaling: (fleet) => {
      const { sync } = createHpa(averageValue, spec.minReplicas, spec.maxReplicas)
      const turn = (): void => fleet.scale(sync(fleet.waiting(), fleet.replicas(), fleet.now()))
      return [{ everySeconds: HPA_SYNC_SECONDS, turn }]
    },
  }
}

/**
 * What https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale-walkthrough/ takes for a queue: "one
 * worker per 30 outstanding tasks".
 */
export const HPA_AVERAGE_VALUE = 30

/** https://keda.sh/docs/latest/scalers/redis-lists/: listLength, default 5; activationListLength, default 0. */
export const KEDA_LIST_LENGTH = 5
const ACTIVATION_LIST_LENGTH = 0

/**
 * https://keda.sh/docs/latest/reference/scaledobject-spec/: pollingInterval, default 30 s; cooldownPeriod, default 300
 * s.
 */
const KEDA_POLLING_SECONDS = 30
const KEDA_COOLDOWN_SECONDS = 300

/**
 * KEDA's scaler for Redis lists. Its own loop scales from zero as soon as a poll finds the list longer than
 * activationListLength, and to zero once none did for the cooldownPeriod
 * (kedacore/keda:pkg/scaling/executor/scale_scaledobjects.go). The time of the last active poll is kept in whole
 * seconds, rounded down, so that the poll 300 s later is late enough. In between the HPA works that KEDA creates,
 * without a `behavior` (controllers/keda/hpa.go), at least one replica, and the list's length as External metric of
 * type AverageValue, read afresh (useCachedMetrics, default false). LLEN counts what waits and not what runs.
 */
export function keda(spec: ScalerSpec, name: string, listLength: number): Model {
  return {
    name,
    depthTarget: listLength,
    scaling: (fleet) => {
      const { sync } = createHpa(listLength, Math.max(1, spec.minReplicas), spec.maxReplicas)
      let activeAt = Number.NEGATIVE_INFINITY
      const poll = (): void => {
        if (fleet.waiting() > ACTIVATION_LIST_LENGTH) {
          activeAt = fleet.now()
          if (fleet.replicas() === 0) fleet.scale(Math.max(1, spec.minReplicas))
        } else if (spec.minReplicas === 0 && fleet.replicas() > 0 && fleet.now() - activeAt >= KEDA_COOLDOWN_SECONDS)
          fleet.scale(0)
      }
      const turn = (): void => fleet.scale(sync(fleet.waiting(), fleet.replicas(), fleet.now()))
      return [
        { everySeconds: KEDA_POLLING_SECONDS, turn: poll },
        { everySeconds: HPA_SYNC_SECONDS, turn },
      ]
    },
  }
}
