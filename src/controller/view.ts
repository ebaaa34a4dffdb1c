import { systemClock, type Clock } from '../clock.ts'
import {
  foreignIds,
  readDemand,
  readForeign,
  readLoads,
  readRegistrations,
  type DemandReading,
  type ForeignLoad,
  type ProcessLoad,
  type QueueReading,
} from '../queue/demand.ts'
import { queueNames } from '../queue/queues.ts'
import { nonceOf, type Registration } from '../queue/registry.ts'
import type { Selection } from '../queue/selection.ts'
import type { Patience, Store } from '../redis/store.ts'

/** How long Redis may take before a look fails. Milliseconds. */
const PATIENCE_MS = 2000
/** Patterns are resolved anew at least this often. Milliseconds. */
const NAMES_MS = 5000
/** Workers of other programs are looked for at least this often. Milliseconds. */
const FOREIGN_MS = 15_000
/** Workers of other programs that a look takes in. */
export const MOST_FOREIGN = 5000
const MOST_QUEUES = 10_000

/** A worker process of ours with what it holds. */
export interface ProcessView {
  readonly registration: Registration
  readonly load: ProcessLoad
}

/** One look at a Redis, shared by all scalers that use it. */
export interface RedisView {
  /** Monotonic ms at which the look began: all of it is younger. */
  readonly at: number
  readonly reading: DemandReading
  /** Names of the queues that exist; empty where no pattern needs them. */
  readonly known: readonly string[]
  readonly queues: ReadonlyMap<string, QueueReading>
  /** Jobs that our workers run, by queue: how many, and how long they have run in all. */
  readonly running: ReadonlyMap<string, { readonly jobs: number; readonly ms: number }>
  readonly processes: ReadonlyMap<string, ProcessView>
  /** Processes by the uid of the pod that they say they run in. */
  readonly byPod: ReadonlyMap<string, readonly ProcessView[]>
  readonly foreign: readonly ForeignLoad[]
  /** Foreign workers by the host part of their ids, which is the pod's name by default. */
  readonly foreignByHost: ReadonlyMap<string, readonly ForeignLoad[]>
}

/** Looks at one Redis for all of its scalers. */
export interface Viewer {
  /** What a scaler wants looked at, from the next look on; undefined: nothing any more. */
  want(key: string, selection: Selection | undefined, aheadMs: number): void
  /** A look that is at most `maxAgeMs` old. Looks under way are shared. Rejects where Redis does not answer. */
  look(maxAgeMs: number): Promise<RedisView>
  /** Queues that exist, as the last look knows them; empty where no pattern needs them. */
  readonly known: readonly string[]
}

/** A pod's name, as the worker ids of the family carry it: `host:pid:queues`. */
export function hostOf(id: string): string {
  return id.slice(0, id.indexOf(':') >= 0 ? id.indexOf(':') : undefined)
}

export function createViewer(store: Store, signal: AbortSignal, clock: Clock = systemClock): Viewer {
  const wants = new Map<string, { selection: Selection; aheadMs: number }>()
  const registrations = new Map<string, Registration>()
  let names: { queues: readonly string[]; count: number; at: number } | undefined
  let foreign: { ids: readonly string[]; registrations: number; at: number } | undefined
  let last: RedisView | undefined
  let underWay: { promise: Promise<RedisView>; wants: number } | undefined
  let changes = 0
  let lastWants = -1

  const look = async (): Promise<RedisView> => {
    const at = clock.monotonic()
    const patience: Patience = { deadlineMs: PATIENCE_MS, signal, punctual: true }
    const dynamic = [...wants.values()].some(({ selection }) => selection.dynamic)
    const aheadMs = Math.max(0, ...[...wants.values()].map((want) => want.aheadMs))
    const readNames = async (): Promise<void> => {
      const queues = await queueNames(store, patience)
      names = { queues: queues.slice(0, MOST_QUEUES), count: queues.length, at }
    }
    const knownNames = (): readonly string[] => (dynamic ? (names?.queues ?? []) : [])
    const readWanted = (): Promise<DemandReading> => {
      const wanted = new Set([...wants.values()].flatMap(({ selection }) => selection.resolve(knownNames())))
      return readDemand(store, [...wanted], aheadMs, patience)
    }
    if (dynamic && (!names || at - names.at >= NAMES_MS)) await readNames()
    const [first, loads] = await Promise.all([readWanted(), readLoads(store, patience)])
    let reading = first
    if (dynamic && reading.knownQueues !== names?.count) {
      // A queue that came just now may be all there is to scale for.
      await readNames()
      reading = await readWanted()
    }
    const known = knownNames()

    const unknown = [...loads.keys()].filter((nonce) => !registrations.has(nonce))
    for (const registration of await readRegistrations(store, unknown, patience))
      registrations.set(registration.nonce, registration)
    for (const nonce of registrations.keys()) if (!loads.has(nonce)) registrations.delete(nonce)

    const processes = new Map<string, ProcessView>()
    const running = new Map<string, { jobs: number; ms: number }>()
    let slots = 0
    for (const [nonce, load] of loads) {
      const registration = registrations.get(nonce)
      if (!registration) continue // left between the two calls
      processes.set(nonce, { registration, load })
      slots += registration.slots
      for (const { queue, sinceMs } of load.jobs) {
        const sum = running.get(queue) ?? { jobs: 0, ms: 0 }
        running.set(queue, { jobs: sum.jobs + 1, ms: sum.ms + Math.max(0, reading.now - sinceMs) })
      }
    }

    // Every slot of ours is a member of the family's `workers`; more members than slots are somebody else's.
    if (!foreign || at - foreign.at >= FOREIGN_MS || foreign.registrations !== reading.registrations - slots) {
      const ids =
        reading.registrations > slots || foreign === undefined || foreign.ids.length > 0
          ? await foreignIds(store, (id) => isOurs(id, registrations), MOST_FOREIGN, patience)
          : []
      foreign = { ids, registrations: reading.registrations - slots, at }
    }
    const others = await readForeign(store, foreign.ids, patience)
    const inPods = [...processes.values()].filter(({ registration }) => registration.pod_uid !== '')
    const byPod = Map.groupBy(inPods, ({ registration }) => registration.pod_uid)
    const foreignByHost = Map.groupBy(others, ({ id }) => hostOf(id))
    const queues = new Map(reading.queues.map((queue) => [queue.queue, queue]))
    return { at, reading, known, queues, running, processes, byPod, foreign: others, foreignByHost }
  }

  return {
    get known() {
      return last?.known ?? []
    },
    want: (key, selection, aheadMs) => {
      const before = wants.get(key)
      if (selection === undefined) {
        if (wants.delete(key)) changes++
      } else if (before?.selection.patterns.join() !== selection.patterns.join() || before.aheadMs < aheadMs) {
        wants.set(key, { selection, aheadMs })
        changes++
      }
    },
    look: async (maxAgeMs) => {
      // What was begun before somebody wanted more does not answer them.
      if (underWay?.wants === changes) return underWay.promise
      if (last && lastWants === changes && clock.monotonic() - last.at <= maxAgeMs) return last
      const before = underWay?.promise
      const begun = changes
      const promise = (before ? before.catch(() => undefined) : Promise.resolve()).then(look)
      const entry = { promise, wants: begun }
      underWay = entry
      try {
        last = await promise
        lastWants = begun
        return last
      } finally {
        if (underWay === entry) underWay = undefined
      }
    },
  }
}

/** Ids of the workers of other programs that are registered from these hosts now, by host. */
export async function foreignFrom(
  store: Store,
  hosts: ReadonlySet<string>,
): Promise<ReadonlyMap<string, readonly string[]>> {
  return Map.groupBy(await foreignIds(store, (id) => !hosts.has(hostOf(id)), MOST_FOREIGN), hostOf)
}

/** Whether a member of `workers` is a slot of a process that is registered: its name carries the nonce. */
function isOurs(id: string, registrations: ReadonlyMap<string, Registration>): boolean {
  const nonce = nonceOf(id)
  return nonce !== undefined && registrations.has(nonce)
}
