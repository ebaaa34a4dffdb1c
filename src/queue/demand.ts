import { PAGE, pagesOf, scan } from '../redis/pages.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Patience, Store } from '../redis/store.ts'
import { parsePaused, parsePausedAll } from './paused.ts'
import { parseRegistration, type Registration } from './registry.ts'

const demandScript = loadScript('demand')
const loadsScript = loadScript('loads')
const foreignScript = loadScript('foreign')

/** Bytes returned of a queue's head: all of a usual payload, the end of a long one. */
export const HEAD_BYTES = 512
/** The largest head that is read; bytes of heads read in one look. */
const LARGEST_HEAD = 64 * 1024
const HEAD_BUDGET = 512 * 1024
/** Delayed items, and retries, looked at in one look. */
const MOST_DUE = 500
/** What a process holds is told by number only where it takes more than this. Bytes. */
const LARGEST_INFLIGHT = 1024 * 1024

/** What ever happened in a queue through our workers, rising for ever. */
export interface Flow {
  /** Taken by a worker. */
  readonly started: number
  /** Ended in whatever way. */
  readonly ended: number
  /** Put back: recovered or interrupted. */
  readonly returned: number
  /** Milliseconds that the ended ones ran. */
  readonly busyMs: number
}

export interface QueueReading {
  readonly queue: string
  readonly waiting: number
  readonly paused: boolean
  readonly flow: Flow
  /**
   * The job at the head: its length in bytes and its last 512 bytes; undefined where there is none or it is too long to
   * read.
   */
  readonly head: { readonly bytes: number; readonly end: string } | undefined
}

/** Jobs that come due in a queue, delayed ones and retries. */
export interface DueJobs {
  readonly queue: string
  /** Milliseconds since the epoch; past where nobody has moved them yet. */
  readonly dueMs: number
  readonly jobs: number
}

export interface DemandReading {
  /** Redis' time, ms. */
  readonly now: number
  readonly pausedAll: boolean
  /** How many queues exist: when it changes, patterns may mean others. */
  readonly knownQueues: number
  /** Members of the family's `workers`, one for each slot of ours. */
  readonly registrations: number
  readonly processes: number
  /** In the order asked for; a queue that never held anything has zeros. */
  readonly queues: readonly QueueReading[]
  readonly due: readonly DueJobs[]
}

/** Reads what decides how many workers are wanted, of these queues, in one bounded call (`lua/demand.lua`). */
export async function readDemand(
  store: Pick<Store, 'run'>,
  queues: readonly string[],
  aheadMs: number,
  patience?: Patience,
): Promise<DemandReading> {
  const limits = [HEAD_BYTES, LARGEST_HEAD, HEAD_BUDGET, Math.round(aheadMs), MOST_DUE]
  const fields = (await store.run(demandScript, [...limits, ...queues], patience)) as (string | number)[]
  const paused = new Set(parsePaused(fields[2]))
  const pausedAll = parsePausedAll(fields[1])
  const found = new Map<number, Pick<QueueReading, 'waiting' | 'flow' | 'head'>>()
  let at = 7
  for (let row = 0; row < Number(fields[6]); row++, at += 5) {
    const [place, waiting, flow, bytes, end] = fields.slice(at, at + 5)
    found.set(Number(place), {
      waiting: Number(waiting),
      flow: flowOf(String(flow)),
      head: Number(bytes) < 0 ? undefined : { bytes: Number(bytes), end: String(end) },
    })
  }
  const due: DueJobs[] = []
  for (; at + 2 < fields.length; at += 3) {
    due.push({ dueMs: Number(fields[at]), queue: String(fields[at + 1]), jobs: Number(fields[at + 2]) })
  }
  return {
    now: Number(fields[0]),
    pausedAll,
    knownQueues: Number(fields[3]),
    registrations: Number(fields[4]),
    processes: Number(fields[5]),
    queues: queues.map((queue, i) => ({
      queue,
      paused: pausedAll || paused.has(queue),
      ...(found.get(i + 1) ?? { waiting: 0, flow: flowOf(''), head: undefined }),
    })),
    due,
  }
}

/** What a registered process holds. */
export interface ProcessLoad {
  readonly held: number
  /** Milliseconds until its lease lapses; negative where it has. */
  readonly leaseLeftMs: number
  /**
   * Each job it holds: its queue and Redis' time at the reservation. Fewer than `held` where they are too long to read.
   */
  readonly jobs: readonly { readonly queue: string; readonly sinceMs: number }[]
}

/** What every registered process holds, by its nonce, in pages of 1000 (`lua/loads.lua`). */
export async function readLoads(
  store: Pick<Store, 'run'>,
  patience?: Patience,
): Promise<ReadonlyMap<string, ProcessLoad>> {
  const loads = new Map<string, ProcessLoad>()
  let cursor = '0'
  do {
    const fields = (await store.run(loadsScript, [cursor, PAGE, LARGEST_INFLIGHT], patience)) as (
      | string
      | number
      | string[]
    )[]
    cursor = String(fields[1])
    for (let i = 2; i + 3 < fields.length; i += 4) {
      const nonce = String(fields[i])
      const flat = fields[i + 3] as string[]
      const jobs: ProcessLoad['jobs'][number][] = []
      for (let j = 0; j + 1 < flat.length; j += 2) jobs.push({ queue: String(flat[j]), sinceMs: Number(flat[j + 1]) })
      loads.set(nonce, { held: Number(fields[i + 1]), leaseLeftMs: Number(fields[i + 2]), jobs })
    }
  } while (cursor !== '0')
  return loads
}

/**
 * The registrations of processes, by their nonces; those that have left meanwhile are missing. They never change: keep
 * them.
 */
export async function readRegistrations(
  store: Pick<Store, 'command' | 'keys'>,
  nonces: readonly string[],
  patience?: Patience,
): Promise<readonly Registration[]> {
  const found: Registration[] = []
  for (const page of pagesOf(nonces)) {
    const texts = (await store.command('hmget', [store.keys.processes, ...page], patience)) as (string | null)[]
    for (const text of texts) {
      const registration = text === null ? undefined : parseRegistration(text)
      if (registration) found.push(registration)
    }
  }
  return found
}

/** A worker of another program. */
export interface ForeignLoad {
  readonly id: string
  /** What it runs a job of; empty where its record does not say; undefined while it is idle. */
  readonly queue: string | undefined
  /** How many jobs it has processed since it started; undefined where it does not count. */
  readonly processed: number | undefined
  /** When it took the job that it runs, as its record says: another time is another job. Empty while it is idle. */
  readonly runAt: string
}

/** The ids of the family's workers that `isOurs` does not know, sorted, at most `limit`. */
export async function foreignIds(
  store: Pick<Store, 'command' | 'keys'>,
  isOurs: (id: string) => boolean,
  limit: number,
  patience?: Patience,
): Promise<readonly string[]> {
  const ids = new Set<string>()
  for await (const page of scan(store, 'sscan', store.keys.workers, patience)) {
    for (const id of page) if (!isOurs(id)) ids.add(id)
    if (ids.size >= limit) break
  }
  return [...ids].sort().slice(0, limit)
}

/** What these workers do now (`lua/foreign.lua`). */
export async function readForeign(
  store: Pick<Store, 'run'>,
  ids: readonly string[],
  patience?: Patience,
): Promise<readonly ForeignLoad[]> {
  const loads: ForeignLoad[] = []
  for (const page of pagesOf(ids)) {
    const fields = (await store.run(foreignScript, page, patience)) as (string | number)[]
    for (const [i, id] of page.entries()) {
      const [busy, record, processed] = fields.slice(1 + 3 * i, 4 + 3 * i)
      const isBusy = Number(busy) === 1
      const queue = /"queue":"((?:[^"\\]|\\.)*)"/.exec(String(record))?.[1] ?? ''
      const runAt = /"run_at":"([^"]*)"/.exec(String(record))?.[1] ?? ''
      loads.push({
        id,
        queue: isBusy ? queue : undefined,
        runAt: isBusy ? runAt : '',
        processed: processed === '' ? undefined : Number(processed) || 0,
      })
    }
  }
  return loads
}

/** A flow as Redis holds it: `<started> <ended> <returned> <busy ms>`; zeros for anything else. */
export function flowOf(text: string): Flow {
  const [started = 0, ended = 0, returned = 0, busyMs = 0] = /^\d+ \d+ \d+ \d+$/.test(text)
    ? text.split(' ').map(Number)
    : []
  return { started, ended, returned, busyMs }
}
