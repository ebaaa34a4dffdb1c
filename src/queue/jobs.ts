import type { Store } from '../redis/store.ts'
import { delayedJobs, type DelayedJob } from './delayed.ts'
import { listFailed, type FailedEntry } from './failed.ts'
import { parsePayload } from './payload.ts'
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
  | { readonly kind: 'failed'; readonly entry: FailedEntry }
  | { readonly kind: 'retry'; readonly entry: RetryEntry }
  | { readonly kind: 'delayed'; readonly job: DelayedJob }

export interface JobReport {
  readonly id: string
  /** false where it is not tracked. */
  readonly status: StatusSnapshot | false
  /** Empty where it is nowhere: it ended well, or it is beyond what was looked through. */
  readonly places: readonly Place[]
  /** Whether everything was looked through; false: the job may be further inside a long list. */
  readonly complete: boolean
}

/** How far each list is looked through. */
const MOST = 10_000

/**
 * Finds a job by its id: its status, and where it waits, runs, failed, or waits to run again. Looks through 10,000 elements
 * of each kind at most; the jobs of foreign producers have no id and are not found.
 */
export async function findJob(
  store: Store,
  id: string,
  { prefix, queue, signal }: { readonly prefix?: string; readonly queue?: string; readonly signal?: AbortSignal } = {},
): Promise<JobReport> {
  const places: Place[] = []
  const plain = /^[\w.:-]+$/.test(id)
  let complete = true
  const status = await getStatus(store, id, prefix)

  for (const worker of await listWorkers(store)) {
    for (const running of worker.running) if (running.id === id) places.push({ kind: 'running', worker, running })
  }

  const failed = await listFailed(store, { id, limit: 10 })
  complete &&= failed.next === undefined
  for (const entry of failed.entries) places.push({ kind: 'failed', entry })

  let seen = 0
  for await (const entry of retriesThatFit(store, {}, signal)) {
    if (entry.payload?.id === id) places.push({ kind: 'retry', entry })
    if (++seen >= MOST) break
  }
  complete &&= seen < MOST

  seen = 0
  for await (const job of delayedJobs(store, {}, signal)) {
    if (job.payload?.id === id) places.push({ kind: 'delayed', job })
    if (++seen >= MOST) break
  }
  complete &&= seen < MOST

  seen = 0
  for (const name of queue === undefined ? await queueNames(store) : [queue]) {
    for (let at = 0; seen < MOST;) {
      signal?.throwIfAborted()
      const raws = await peekQueue(store, name, at, 500)
      for (const [i, raw] of raws.entries()) {
        // An id without anything to escape stands in the text as it is: parse only what can be it.
        if (plain && !raw.includes(id)) continue
        const parsed = parsePayload(raw)
        if (parsed.ok && parsed.payload.id === id) places.push({ kind: 'waiting', queue: name, position: at + i, raw })
      }
      seen += raws.length
      at += raws.length
      if (raws.length < 500) break
    }
    if (seen >= MOST) break
  }
  complete &&= seen < MOST
  return { id, status, places, complete }
}
