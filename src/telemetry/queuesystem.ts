import { flowOf, HEAD_BYTES } from '../queue/demand.ts'
import { parsePaused, parsePausedAll } from '../queue/paused.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Arg, Patience, Store } from '../redis/store.ts'
import { createAges } from './ages.ts'
import { headEnqueuedAt } from './heads.ts'

const observeScript = loadScript('observe')

/** Queues that are shown by name, and that are looked at. */
const MOST_SHOWN = 1000
const MOST_QUEUES = 10_000
/** Registrations (and per-queue failed lists) that are looked at. */
const MOST_MEMBERS = 10_000
/** Heads are read until this many bytes were, in all. */
const HEAD_BUDGET = 4 * 1024 * 1024
/** A larger head is remembered, and read again when its queue moved or after a minute. */
const HEAVY_BYTES = 64 * 1024
const HEAVY_MS = 60_000

export interface QueueState {
  readonly queue: string
  readonly jobs: number
  /** Age of the head, ms; 0 where the queue is empty. */
  readonly latencyMs: number
  readonly paused: boolean
}

/** The queue system at one instant. */
export interface QueueSystem {
  /** At most 1,000: where there are more, those with the most jobs. */
  readonly queues: readonly QueueState[]
  /** Jobs in all other queues; undefined where every queue is shown. */
  readonly otherJobs: number | undefined
  readonly failed: number
  readonly retrying: number
  readonly quarantined: number
  readonly delayedTimestamps: number
  /** For how long the first retry and the first delayed job have been due, ms; 0 where none is due. */
  readonly retryOverdueMs: number
  readonly delayedOverdueMs: number
  readonly workers: { readonly busy: number; readonly idle: number }
  /** The family's statistics. */
  readonly stats: { readonly processed: number; readonly failed: number }
}

/** How one look left a heavy head. */
interface Heavy {
  readonly flow: string
  readonly enqueuedAt: number | undefined
  readonly until: number
}

interface Row {
  readonly place: number
  readonly length: number
  readonly flow: string
  readonly size: number
  readonly end: string
}

/**
 * Returns a function that reads the queue system in one bounded round trip (`lua/observe.lua`). Looks build on each
 * other: without times in the payloads, ages of heads are estimated from what earlier looks saw.
 */
export function createObserve(
  store: Pick<Store, 'run' | 'keys'>,
): (queues: readonly string[], patience?: Patience) => Promise<QueueSystem> {
  const agesOf = createAges()
  let heavy = new Map<string, Heavy>()

  return async (queues, patience) => {
    const names = [...new Set(queues)].slice(0, MOST_QUEUES)
    const known: Arg[] = []
    if (heavy.size > 0) {
      for (const [i, name] of names.entries()) {
        const head = heavy.get(name)
        if (head) known.push(i + 1, head.flow)
      }
    }
    const limits = [MOST_SHOWN, HEAD_BYTES, HEAD_BUDGET, MOST_MEMBERS, known.length / 2]
    const fields = (await store.run(
      observeScript,
      [...limits, ...known, ...names.map((name) => store.keys.queue(name))],
      patience,
    )) as (string | number)[]
    const now = Number(fields[0])
    const rows = readRows(fields, 14)
    const nameOf = (row: Row): string => names[row.place - 1] as string

    const ages = agesOf(
      now,
      rows.map((row) => ({ queue: nameOf(row), length: row.length, departed: departures(row.flow) })),
    )
    const stillHeavy = new Map<string, Heavy>()
    const pausedAll = parsePausedAll(fields[1])
    const paused = new Set(parsePaused(fields[2]))
    const states = new Map<number, QueueState>()
    for (const row of rows) {
      const queue = nameOf(row)
      const last = heavy.get(queue)
      const before = last?.flow === row.flow ? last : undefined
      const enqueuedAt = row.size >= 0 ? headEnqueuedAt(row.size, row.end) : before?.enqueuedAt
      if (row.size > HEAVY_BYTES) stillHeavy.set(queue, { flow: row.flow, enqueuedAt, until: now + HEAVY_MS })
      else if (row.size < 0 && before && now < before.until) stillHeavy.set(queue, before)
      const latencyMs = enqueuedAt === undefined ? (ages.get(queue) ?? 0) : Math.max(now - enqueuedAt, 0)
      states.set(row.place, { queue, jobs: row.length, latencyMs, paused: pausedAll || paused.has(queue) })
    }
    heavy = stillHeavy

    let room = MOST_SHOWN - states.size
    const shown: QueueState[] = []
    for (const [i, queue] of names.entries()) {
      const state = states.get(i + 1)
      if (state) shown.push(state)
      else if (room-- > 0) shown.push({ queue, jobs: 0, latencyMs: 0, paused: pausedAll || paused.has(queue) })
    }
    const at = (i: number): number => count(fields[i])
    const [registered, busy] = [at(7), at(8)]
    return {
      queues: shown,
      otherJobs: names.length > MOST_SHOWN ? at(13) : undefined,
      failed: at(3),
      retrying: at(4),
      quarantined: at(5),
      delayedTimestamps: at(6),
      retryOverdueMs: at(11),
      delayedOverdueMs: at(12),
      workers: { busy, idle: Math.max(registered - busy, 0) },
      stats: { processed: at(9), failed: at(10) },
    }
  }
}

function readRows(fields: readonly (string | number)[], from: number): Row[] {
  const rows: Row[] = []
  for (let i = from; i + 4 < fields.length; i += 5) {
    const [place, length, flow, size, end] = fields.slice(i, i + 5)
    rows.push({
      place: Number(place),
      length: Number(length),
      flow: String(flow),
      size: Number(size),
      end: String(end),
    })
  }
  return rows
}

/** What left the queue through our workers. */
function departures(flow: string): number {
  const { started, returned } = flowOf(flow)
  return started - returned
}

/** A count as Redis holds it; 0 for anything else. */
function count(field: string | number | undefined): number {
  const value = Number(field)
  return Number.isFinite(value) && value > 0 ? value : 0
}
