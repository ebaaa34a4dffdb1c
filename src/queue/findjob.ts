import { unlessWrongType } from '../redis/replies.ts'
import type { Store } from '../redis/store.ts'
import { delayedJobs, type DelayedJob } from './delayed.ts'
import { nextChunk, sizeUp } from './entries.ts'
import { failedQueues, listFailed, type FailedEntry } from './failed.ts'
import { parsePayload, type Payload } from './payload.ts'
import { quarantineThatFits, type QuarantineEntry } from './quarantine.ts'
import { peekQueue, queueNames } from './queues.ts'
import { retriesThatFit, type RetryEntry } from './retries.ts'
import { getStatus, type StatusSnapshot } from './status.ts'
import { listWorkers, type Running, type WorkerInfo } from './workers.ts'

/** Where a job was found. */
export type Place =
  | {
      readonly kind: 'waiting'
      readonly queue: string
      /** From the head; shifts as jobs are taken. */ readonly position: number
      readonly raw: string
    }
  | { readonly kind: 'running'; readonly worker: WorkerInfo; readonly running: Running }
  | {
      readonly kind: 'failed'
      readonly entry: FailedEntry
      /** The queue whose own failed list has it; missing: the common list. */
      readonly listOf?: string
    }
  | { readonly kind: 'retry'; readonly entry: RetryEntry }
  | { readonly kind: 'delayed'; readonly job: DelayedJob }
  | { readonly kind: 'quarantine'; readonly entry: QuarantineEntry }

/** What is known of a job. */
export interface JobReport {
  readonly id: string
  /** false where it is not tracked. */
  readonly status: StatusSnapshot | false
  /** Empty where it is nowhere: it ended well, or it is beyond what was looked through. */
  readonly places: readonly Place[]
  /** Whether everything was looked through; false: the job may be further inside a long list. */
  readonly complete: boolean
}

/** How far each kind is looked through. */
const MOST = 10_000
const MOST_WORKERS = 1000

/** What is looked for. */
interface Search {
  readonly id: string
  readonly queue?: string
  readonly signal?: AbortSignal
}

/** What a look through one kind of place found; `complete`: it went to the end. */
interface Found {
  readonly places: readonly Place[]
  readonly complete: boolean
}

/** In the order in which jobs go through them: one that moves meanwhile may be found twice. */
const LOOKS: readonly ((store: Store, search: Search) => Promise<Found>)[] = [
  delayed,
  waiting,
  running,
  retried,
  failed,
  quarantined,
]

/**
 * Finds a job by its id: its status, and where it waits, runs, failed, or waits to run again. Looks through 10,000
 * elements of each kind and of each failed list at most, and 1000 workers; with `queue` only that queue and its failed
 * list, beside the common one. The jobs of foreign producers have no id and are not found.
 */
export async function findJob(
  store: Store,
  id: string,
  { prefix, ...where }: Omit<Search, 'id'> & { readonly prefix?: string } = {},
): Promise<JobReport> {
  const found: Found[] = []
  for (const look of LOOKS) found.push(await look(store, { id, ...where }))
  return {
    id,
    // Last, so that it is not older than the places.
    status: await getStatus(store, id, prefix),
    places: found.flatMap(({ places }) => places),
    complete: found.every(({ complete }) => complete),
  }
}

function delayed(store: Store, { id, signal }: Search): Promise<Found> {
  return lookThrough(delayedJobs(store, {}, signal), isCalled(id), (job) => ({ kind: 'delayed', job }))
}

async function waiting(store: Store, { id, queue, signal }: Search): Promise<Found> {
  const places: Place[] = []
  const plain = /^[\w.:-]+$/.test(id)
  let left = MOST
  let complete = true
  for (const name of queue === undefined ? await queueNames(store) : [queue]) {
    const sized = sizeUp(store, 'llen', store.keys.queue(name), { signal })
    const { count: size, chunk: first } = await unlessWrongType(sized, { count: 0, chunk: 1 })
    complete &&= size <= left
    // Towards the head, as its jobs go: none comes from what is still to be read to what was.
    for (let to = Math.min(size, left), chunk = first; to > 0;) {
      signal?.throwIfAborted()
      const from = Math.max(0, to - chunk)
      const raws = await peekQueue(store, name, from, to - from)
      to = from
      if (raws.length > 0) chunk = nextChunk(raws)
      for (const [i, raw] of raws.entries()) {
        // An id without anything to escape stands in the text as it is: parse only what can be it.
        if (plain && !raw.includes(id)) continue
        const parsed = parsePayload(raw)
        if (parsed.ok && parsed.payload.id === id)
          places.push({ kind: 'waiting', queue: name, position: from + i, raw })
      }
    }
    left = Math.max(0, left - size)
    // Further queues have nothing more to say.
    if (left === 0 && !complete) break
  }
  return { places, complete }
}

async function running(store: Store, { id }: Search): Promise<Found> {
  const workers = await listWorkers(store, { limit: MOST_WORKERS })
  const places = workers.flatMap((worker) =>
    worker.running.filter((one) => one.id === id).map((one): Place => ({ kind: 'running', worker, running: one })),
  )
  const isListed = (kind: WorkerInfo['kind']): boolean =>
    workers.filter((worker) => worker.kind === kind).length < MOST_WORKERS
  return { places, complete: isListed('process') && isListed('foreign') }
}

function retried(store: Store, { id, signal }: Search): Promise<Found> {
  return lookThrough(retriesThatFit(store, {}, signal), isCalled(id), (entry) => ({ kind: 'retry', entry }))
}

const isCalled =
  (id: string) =>
  ({ payload }: { readonly payload: Payload | undefined }): boolean =>
    payload?.id === id

async function lookThrough<T>(
  items: AsyncIterable<T>,
  isIt: (item: T) => boolean,
  placeOf: (item: T) => Place,
): Promise<Found> {
  const places: Place[] = []
  let seen = 0
  for await (const item of items) {
    if (isIt(item)) places.push(placeOf(item))
    if (++seen >= MOST) return { places, complete: false }
  }
  return { places, complete: true }
}

async function failed(store: Store, { id, queue, signal }: Search): Promise<Found> {
  const places: Place[] = []
  let complete = true
  const own = (await failedQueues(store)).filter((name) => queue === undefined || name === queue)
  for (const list of [{}, ...own.map((name) => ({ listOf: name }))]) {
    signal?.throwIfAborted()
    const page = listFailed(store, { ...list, id, limit: 10 })
    const { entries, next } = await unlessWrongType(page, { entries: [], total: 0, next: undefined })
    complete &&= next === undefined
    for (const entry of entries) places.push({ kind: 'failed', entry, ...list })
  }
  return { places, complete }
}

async function quarantined(store: Store, { id, signal }: Search): Promise<Found> {
  const named = (entry: QuarantineEntry): boolean => names(entry.raw, id)
  return lookThrough(quarantineThatFits(store, undefined, signal), named, (entry) => ({ kind: 'quarantine', entry }))
}

/** Whether something that is no payload says this id all the same. */
function names(raw: string, id: string): boolean {
  if (!raw.includes('"id"')) return false
  try {
    const value: unknown = JSON.parse(raw)
    return typeof value === 'object' && value !== null && 'id' in value && value.id === id
  } catch {
    return raw.includes(`"id":${JSON.stringify(id)}`)
  }
}
