import { queuesOf } from '../queue/registry.ts'
import type { Selection } from '../queue/selection.ts'
import { headEnqueuedAt } from '../telemetry/heads.ts'
import type { Scaler } from './api.ts'
import type { Due, Observation, QueueObservation } from './decide.ts'
import { NO_FLOW } from './decide/foreign.ts'
import { isActive, isNamedAfter, isOver, type Pod } from './pods.ts'
import type { StartTimes } from './starts.ts'
import { hostOf, type ProcessView, type RedisView } from './view.ts'

/** A pod counts as unschedulable after this long without a node. Milliseconds. */
const UNSCHEDULABLE_MS = 60_000
/** A new pod that restarted this often is not starting. */
const RESTARTS = 3

/** Whose workers run in the pods of a target. */
export type Fleet =
  /** Ours: they know drain marks. */
  | 'ours'
  /** Ours, but some do not know the namespace of their pod and so find no drain mark. */
  | 'unaware'
  /** Those of another program of the family, found by their host names. */
  | 'foreign'
  /** None has registered yet, or there are no pods. */
  | 'none'

export interface Observed {
  readonly observation: Observation
  readonly fleet: Fleet
  /** Queues that our workers in these pods say they serve, where they are not those of the spec. */
  readonly otherQueues: readonly string[] | undefined
  /** Queues of the scaler, patterns resolved. */
  readonly queues: readonly string[]
  /** Those of them that another scaler lists as well. */
  readonly shared: readonly string[]
}

export interface ObserveInput {
  readonly scaler: Scaler
  readonly selection: Selection
  readonly view: RedisView
  /** Of the target, terminating ones included. */
  readonly pods: readonly Pod[]
  /** `spec.replicas` of the target. */
  readonly replicas: number
  /** Whether a pod of this name was in the namespace, whatever it belonged to, and is gone. */
  readonly isGone: (name: string) => boolean
  readonly starts: StartTimes
  /** The scaler's part of a queue, 0 to 1. */
  readonly shareOf: (queue: string) => number
  readonly hold: Observation['hold']
  /** Milliseconds since the epoch, by the API server's clock. */
  readonly now: number
}

/** Processes of ours in a pod. */
export function processesIn(view: RedisView, pod: Pod): readonly ProcessView[] {
  return view.byPod.get(pod.uid) ?? []
}

/** Jobs that run in a pod, those of foreign workers included. */
export function heldBy(view: RedisView, pod: Pod): number {
  const ours = processesIn(view, pod).reduce((sum, { load }) => sum + load.held, 0)
  const foreign = view.foreignByHost.get(pod.name)?.filter(({ queue }) => queue !== undefined).length ?? 0
  return ours + foreign
}

/**
 * Whether a pod runs a job, as far as anybody can tell. One that is ready without a worker that Redis knows may well:
 * its worker registered before Redis was emptied, or in another Redis, or says nothing of its pod.
 */
export function mayRun(view: RedisView, pod: Pod): boolean {
  const isKnown = view.byPod.has(pod.uid) || view.foreignByHost.has(pod.name)
  return isKnown ? heldBy(view, pod) > 0 : pod.ready
}

/** Puts what Redis and the API server say together into what `decide` looks at. */
export function observe(input: ObserveInput): Observed {
  const { scaler, selection, view, pods, replicas, isGone, starts, shareOf, hold, now } = input
  const active = pods.filter(isActive)
  const fleet = fleetOf(active, view)
  const isOurs = fleet === 'ours' || fleet === 'unaware'
  const works = (pod: Pod): boolean => {
    if (!isOurs) return pod.ready
    return processesIn(view, pod).some(({ load }) => pod.ready || load.held > 0)
  }
  for (const pod of active) {
    const first = Math.min(...processesIn(view, pod).map(({ registration }) => registration.started))
    if (Number.isFinite(first)) starts.note(pod, first)
  }

  const working = active.filter(works)
  const stuck = active.filter(
    (pod) => pod.unschedulableMs !== undefined && now - pod.unschedulableMs >= UNSCHEDULABLE_MS,
  )
  const fresh = active.filter((pod) => !works(pod) && !stuck.includes(pod))
  const slots = working
    .map((pod) => processesIn(view, pod).reduce((sum, { registration }) => sum + registration.slots, 0))
    .filter((n) => n > 0)
    .sort((a, b) => a - b)

  const queues = selection.resolve(view.known)
  const due = dueBy(view)
  // A worker of another program that was killed never signs off: in a pod that is gone it runs nothing any more.
  const there = new Set(pods.filter((pod) => !isOver(pod)).map(({ name }) => name))
  const target = scaler.spec.scaleTargetRef.name
  const lives = (host: string): boolean => there.has(host) || !(isNamedAfter(target, host) || isGone(host))
  const living = view.foreign.filter(({ id }) => lives(hostOf(id)))
  return {
    fleet,
    queues,
    shared: queues.filter((queue) => shareOf(queue) < 1),
    otherQueues: isOurs ? otherQueues(selection, working, view) : undefined,
    observation: {
      replicas,
      pods: {
        ready: working.length,
        starting: fresh.map((pod) => Math.max(0, (now - (pod.scheduledMs ?? pod.createdMs)) / 1000)),
        unschedulable: stuck.length,
        notStarting: fresh.length > 0 && fresh.every(({ restarts }) => restarts >= RESTARTS),
        terminatingRunning: pods.filter((pod) => pod.terminating).reduce((sum, pod) => sum + heldBy(view, pod), 0),
      },
      queues: queues.map((queue) => queueOf(queue, view, due, shareOf(queue))),
      foreign: living.map(({ id, queue, processed, runAt }) => ({
        id,
        processed: processed ?? null,
        queue: queue ?? null,
        runAt,
      })),
      registeredSlots: slots[Math.floor((slots.length - 1) / 2)] ?? null,
      podStartSeconds: starts.p90,
      lastServiceSeconds: scaler.status.serviceSeconds ?? null,
      lastSlotsPerReplica: scaler.status.slotsPerReplica ?? null,
      hold,
    },
  }
}

function fleetOf(pods: readonly Pod[], view: RedisView): Fleet {
  if (pods.some((pod) => view.byPod.has(pod.uid)))
    return pods.every((pod) => findsMarks(view, pod)) ? 'ours' : 'unaware'
  return pods.some((pod) => view.foreignByHost.has(pod.name)) ? 'foreign' : 'none'
}

/** Whether the workers of ours in a pod look for its drain mark where it is set. */
function findsMarks(view: RedisView, pod: Pod): boolean {
  return processesIn(view, pod).every(({ registration }) => registration.pod_namespace === pod.namespace)
}

function queueOf(name: string, view: RedisView, due: ReadonlyMap<string, Due[]>, share: number): QueueObservation {
  const found = view.queues.get(name)
  const running = view.running.get(name)
  const enqueuedAt = found?.head === undefined ? undefined : headEnqueuedAt(found.head.bytes, found.head.end)
  return {
    name,
    waiting: found?.waiting ?? 0,
    headAgeSeconds:
      enqueuedAt === undefined || !found || found.waiting === 0
        ? null
        : Math.max(0, (view.reading.now - enqueuedAt) / 1000),
    paused: found?.paused ?? false,
    flow: found?.flow ?? NO_FLOW,
    running: running?.jobs ?? 0,
    runningMs: running?.ms ?? 0,
    due: due.get(name) ?? [],
    share,
  }
}

/** What comes due, by queue; the view looks as far ahead as its slowest scaler needs, `decide` takes what it wants. */
function dueBy(view: RedisView): Map<string, Due[]> {
  const due = new Map<string, Due[]>()
  for (const { queue, dueMs, jobs } of view.reading.due) {
    const list = due.get(queue) ?? []
    list.push({ inSeconds: Math.max(0, (dueMs - view.reading.now) / 1000), count: jobs })
    due.set(queue, list)
  }
  return due
}

/** The patterns that the workers were started with, where they differ from the scaler's. */
function otherQueues(selection: Selection, pods: readonly Pod[], view: RedisView): readonly string[] | undefined {
  const registrations = pods.flatMap((pod) => processesIn(view, pod).map(({ registration }) => registration))
  if (registrations.length === 0) return undefined
  // Where an older worker does not say what it skips, only the rest is compared.
  const told = registrations.every(({ skips }) => skips !== undefined)
  const compared = (queues: readonly string[]): Set<string> =>
    new Set(told ? queues : queues.filter((queue) => !queue.startsWith('!')))
  const wanted = compared([...selection.label.split(','), ...selection.skips])
  const served = compared(registrations.flatMap(queuesOf))
  const same = served.size === wanted.size && [...served].every((queue) => wanted.has(queue))
  return same ? undefined : [...served].sort()
}
