import { createHeap } from './heap.ts'
import type { Trace } from './trace.ts'

/** A worker leaves within a second of TERM when it is idle, or is killed. */
const EXIT_SECONDS = 1

export interface Pod {
  readonly id: number
  readonly createdAt: number
  readyAt: number
  /** Seconds since the mark; `null`: it takes jobs. */
  drainedAt: number | null
  /** Its slots that run a job: numbers of runs. */
  readonly running: Set<number>
  /** Entries of the list of idle slots that name an older generation are void. */
  generation: number
  isGone: boolean
}

/** A Deployment of workers with a queue in front of it, at one moment that only goes forward. Seconds everywhere. */
export interface Fleet {
  readonly now: () => number
  /** `spec.replicas`. */
  readonly replicas: () => number
  /** Pods that are not terminating, in the order of their creation. */
  readonly pods: () => readonly Pod[]
  readonly isReady: (pod: Pod) => boolean
  readonly waiting: () => number
  /** When the job at the head arrived; `null`: none waits. */
  readonly headArrivedAt: () => number | null
  readonly counters: () => Counters
  /**
   * Sets `spec.replicas`. Fewer: the ReplicaSet controller deletes those that come first in its order; jobs that they
   * run go back to the head of the queue.
   */
  readonly scale: (replicas: number) => void
  readonly drain: (pod: Pod) => void
  readonly undrain: (pod: Pod) => void
  /** Lets everything happen until this moment. */
  readonly runUntil: (time: number) => void
  readonly isDone: () => boolean
  /** Everything that was counted until now. */
  readonly tally: () => Tally
}

interface Run {
  readonly pod: Pod
  readonly job: number
  readonly startedAt: number
}

export interface Counters {
  readonly started: number
  readonly ended: number
  readonly returned: number
  readonly busySeconds: number
  readonly running: number
  /** Sum of the seconds since each running job was taken. */
  readonly runningSeconds: number
}

export interface Tally {
  /** Of each job that has started: seconds from its arrival to its first start. */
  readonly waits: Float64Array
  readonly podSeconds: number
  readonly changes: number
  readonly busyPodsKilled: number
}

export interface FleetOptions {
  readonly trace: Trace
  readonly slots: number
  readonly podStartSeconds: number
  readonly replicas: number
}

export function createFleet({ trace, slots, podStartSeconds, replicas: initial }: FleetOptions): Fleet {
  const { arrivedAt, serviceSeconds } = trace
  const jobs = arrivedAt.length
  const firstStart = new Float64Array(jobs).fill(Number.NaN)
  const ends = createHeap()
  /** What runs, by the number of the run. The end of one that was interrupted stays among the ends, and is void. */
  const runs = new Map<number, Run>()
  const putBack: number[] = []
  let pods: Pod[] = []
  let idle: { readonly pod: Pod; readonly generation: number }[] = []
  let idleFrom = 0
  let starting: Pod[] = []
  let now = 0
  let replicas = initial
  let arrived = 0
  let taken = 0
  let started = 0
  let ended = 0
  let returned = 0
  let busySeconds = 0
  let startSum = 0
  let podSeconds = 0
  let created = 0
  let changes = 0
  let busyPodsKilled = 0

  const isReady = (pod: Pod): boolean => pod.readyAt <= now
  const waiting = (): number => arrived - taken + putBack.length
  const offerSlots = (pod: Pod, count: number): void => {
    for (let i = 0; i < count; i++) idle.push({ pod, generation: pod.generation })
  }

  /** The slot that has been idle the longest takes the job at the head, as waiting clients of Redis do. */
  const assign = (): void => {
    while (waiting() > 0) {
      const offer = idle[idleFrom]
      if (offer === undefined) return
      idleFrom++
      if (idleFrom > 4096) {
        idle = idle.slice(idleFrom)
        idleFrom = 0
      }
      const { pod, generation } = offer
      if (generation !== pod.generation) continue
      const job = putBack.pop() ?? taken++
      if (Number.isNaN(firstStart[job])) firstStart[job] = now - (arrivedAt[job] as number)
      const run = started++
      pod.running.add(run)
      ends.add(now + (serviceSeconds[job] as number), run)
      runs.set(run, { pod, job, startedAt: now })
      startSum += now
    }
  }

  const end = (run: number): void => {
    const found = runs.get(run)
    if (found === undefined) return
    const { pod, startedAt } = found
    runs.delete(run)
    pod.running.delete(run)
    ended++
    startSum -= startedAt
    busySeconds += now - startedAt
    if (pod.drainedAt === null) offerSlots(pod, 1)
  }

  const create = (): void => {
    const pod: Pod = {
      id: created++,
      createdAt: now,
      readyAt: now + podStartSeconds,
      drainedAt: null,
      running: new Set(),
      generation: 0,
      isGone: false,
    }
    pods.push(pod)
    starting.push(pod)
  }

  const remove = (pod: Pod): void => {
    if (pod.running.size > 0) busyPodsKilled++
    const interrupted: number[] = []
    for (const run of pod.running) {
      const { job, startedAt } = runs.get(run) as Run
      runs.delete(run)
      interrupted.push(job)
      startSum -= startedAt
    }
    returned += interrupted.length
    putBack.push(...interrupted.sort((a, b) => b - a))
    pod.generation++
    pod.isGone = true
    podSeconds += now - pod.createdAt + EXIT_SECONDS
  }

  const scale = (wanted: number): void => {
    if (wanted === replicas) return
    replicas = wanted
    changes++
    const victims = inDeletionOrder(pods, now).slice(0, Math.max(0, pods.length - wanted))
    for (const pod of victims) remove(pod)
    if (victims.length > 0) {
      pods = pods.filter(({ isGone }) => !isGone)
      starting = starting.filter(({ isGone }) => !isGone)
    }
    while (pods.length < wanted) create()
    assign()
  }

  const runUntil = (time: number): void => {
    for (;;) {
      const arrival = arrived < jobs ? (arrivedAt[arrived] as number) : Number.POSITIVE_INFINITY
      const ready = starting[0]?.readyAt ?? Number.POSITIVE_INFINITY
      const next = Math.min(arrival, ends.least(), ready)
      if (next > time) break
      now = next
      if (ends.least() === next) end(ends.take())
      else if (ready === next) {
        const pod = starting.shift() as Pod
        if (pod.drainedAt === null) offerSlots(pod, slots)
      } else arrived++
      assign()
    }
    now = Math.max(now, time)
  }

  for (let i = 0; i < initial; i++) {
    create()
    const pod = starting.pop() as Pod
    pod.readyAt = 0
    offerSlots(pod, slots)
  }

  return {
    now: () => now,
    replicas: () => replicas,
    pods: () => pods,
    isReady,
    waiting,
    headArrivedAt: () => (waiting() === 0 ? null : (arrivedAt[putBack.at(-1) ?? taken] as number)),
    counters: () => ({
      started,
      ended,
      returned,
      busySeconds,
      running: runs.size,
      runningSeconds: runs.size * now - startSum,
    }),
    scale,
    drain: (pod) => {
      if (pod.drainedAt !== null) return
      pod.drainedAt = now
      pod.generation++
    },
    undrain: (pod) => {
      if (pod.drainedAt === null) return
      pod.drainedAt = null
      pod.generation++
      if (isReady(pod)) offerSlots(pod, slots - pod.running.size)
      assign()
    },
    runUntil,
    isDone: () => arrived === jobs && waiting() === 0 && runs.size === 0,
    tally: () => ({
      waits: firstStart.filter((wait) => !Number.isNaN(wait)),
      podSeconds: pods.reduce((sum, pod) => sum + now - pod.createdAt, podSeconds),
      changes,
      busyPodsKilled,
    }),
  }
}

/**
 * The order in which the ReplicaSet controller deletes pods of one node pool without deletion costs
 * (kubernetes/kubernetes:pkg/controller/controller_utils.go, ActivePodsWithRanks): not ready before ready; then the one
 * that has been ready for less time, by powers of two of nanoseconds (LogarithmicScaleDown), and within one power by
 * UID, which is as good as chance. Drained pods come right after those that are not ready, idle ones first: that is
 * what their deletion costs do.
 */
export function inDeletionOrder(pods: readonly Pod[], now: number): readonly Pod[] {
  const rank = ({ readyAt, drainedAt, running }: Pod): number => {
    if (readyAt > now) return -3
    if (drainedAt !== null && running.size === 0) return -2
    return drainedAt === null ? Math.floor(Math.log2(Math.max((now - readyAt) * 1e9, 1))) : -1
  }
  const uid = ({ id }: Pod): number => Math.imul(id + 1, 0x9e3779b1) >>> 0
  return [...pods].sort((a, b) => rank(a) - rank(b) || uid(a) - uid(b))
}
