import { defined } from '../defined.ts'
import { isObject } from '../json.ts'
import type { Store } from '../redis/store.ts'
import { parseDate } from './dates.ts'
import { nextChunk, shaOf, sizeUp } from './entries.ts'
import { payloadOf, type Payload } from './payload.ts'

/** Entries that one call of `listFailed` looks through at most. */
const MOST_SCANNED = 10_000

/** Which failed list: the common one, or that of one queue (Ruby's RedisMultiQueue). */
export interface FailedList {
  /** The queue whose own list `<queue>_failed` is meant. Default: the common list `failed`. */
  readonly listOf?: string
}

/** Which entries. Everything that is given must fit. */
export interface FailedFilter {
  readonly queue?: string
  readonly class?: string
  /** Part of the error's type or message, whatever the case. */
  readonly error?: string
  /** Failed at this time or later; entries without a readable date do not fit. */
  readonly since?: Date
  /** Failed before this time. */
  readonly until?: Date
  /** The payload's id. */
  readonly id?: string
}

/** An entry of a failed list, whoever wrote it. */
export interface FailedEntry {
  /** Position from the head; shifts when entries before it are removed. */
  readonly index: number
  /** SHA-1 of the entry's bytes as text: names it together with the index. */
  readonly sha: string
  readonly failedAt: Date | undefined
  readonly queue: string
  readonly worker: string
  /** The error's type. */
  readonly exception: string
  readonly error: string
  readonly backtrace: readonly string[]
  /** undefined where the payload is none (null, a list, a string). */
  readonly payload: Payload | undefined
  readonly retriedAt: Date | undefined
  readonly attempt: number | undefined
  readonly exitCode: number | undefined
  readonly signal: string | undefined
  readonly peakMemoryBytes: number | undefined
  /** The last lines that the job wrote to stderr. */
  readonly stderr: string | undefined
  /** All fields as parsed; undefined for an entry that is not a JSON object. */
  readonly fields: Readonly<Record<string, unknown>> | undefined
  readonly text: string
}

/** Which page of which failed list. */
export interface FailedQuery extends FailedList, FailedFilter {
  /** Default 50, at most 1000. */
  readonly limit?: number
  /** Newest first by default. */
  readonly order?: 'newest' | 'oldest'
  /** Where to go on: `next` of the page before. */
  readonly cursor?: number
}

/** One page of a failed list. */
export interface FailedPage {
  readonly entries: readonly FailedEntry[]
  /** Entries in the list, fitting or not. */
  readonly total: number
  /**
   * Where the next page begins; undefined at the end. A page may hold fewer than `limit` entries and still have a next
   * one.
   */
  readonly next: number | undefined
}

/** The key of a failed list, without the namespace. */
export function failedListName({ listOf }: FailedList): string {
  return listOf === undefined ? 'failed' : `${listOf}_failed`
}

/** The key of a failed list. */
function failedKey(store: Store, list: FailedList): string {
  return list.listOf === undefined ? store.keys.failed : store.keys.failedOf(list.listOf)
}

/** How many entries a failed list has. */
export async function countFailed(store: Store, list: FailedList = {}): Promise<number> {
  return (await store.command('llen', [failedKey(store, list)])) as number
}

/** Queues that have a failed list of their own, in order. */
export async function failedQueues(store: Store): Promise<readonly string[]> {
  const names = (await store.command('smembers', [store.keys.failedQueues])) as string[]
  return names
    .filter((name) => name.endsWith('_failed'))
    .map((name) => name.slice(0, -'_failed'.length))
    .sort()
}

/** One page of a failed list. Looks through 10,000 entries at most, so a rare error may take several pages to find. */
export async function listFailed(store: Store, query: FailedQuery = {}): Promise<FailedPage> {
  const { limit = 50, order = 'newest', cursor } = query
  const key = failedKey(store, query)
  const { count: total, chunk: first } = await sizeUp(store, 'llen', key)
  const wanted = Math.min(Math.max(limit, 1), 1000)
  const entries: FailedEntry[] = []
  const step = order === 'newest' ? -1 : 1
  let at = cursor ?? (step === 1 ? 0 : total - 1)
  let size = first
  for (let scanned = 0; at >= 0 && at < total && scanned < MOST_SCANNED;) {
    const n = Math.min(size, hasFilter(query) ? MOST_SCANNED - scanned : wanted - entries.length)
    const [from, to] = step === 1 ? [at, at + n - 1] : [Math.max(0, at - n + 1), at]
    const texts = (await store.command('lrange', [key, from, to])) as string[]
    const chunk = texts.map((text, i) => [from + i, text] as const)
    if (step === -1) chunk.reverse()
    if (chunk.length === 0) break
    size = nextChunk(texts)
    for (const [index, text] of chunk) {
      at = index + step
      scanned++
      if (!mayMatch(text, query)) continue
      const entry = parseFailed(text, index)
      if (!matchesFailed(entry, query)) continue
      entries.push(entry)
      if (entries.length === wanted) return { entries, total, next: at >= 0 && at < total ? at : undefined }
    }
  }
  return { entries, total, next: at >= 0 && at < total ? at : undefined }
}

/** Entries that fit, page by page. */
export async function* failedThatFit(
  store: Store,
  query: FailedQuery,
  signal?: AbortSignal,
): AsyncGenerator<FailedEntry> {
  let { cursor } = query
  do {
    signal?.throwIfAborted()
    const page = await listFailed(store, { ...query, ...defined({ cursor }) })
    yield* page.entries
    cursor = page.next
  } while (cursor !== undefined)
}

/** One entry by its index; undefined where there is none. */
export async function showFailed(store: Store, index: number, list: FailedList = {}): Promise<FailedEntry | undefined> {
  const text = (await store.command('lindex', [failedKey(store, list), index])) as string | null
  return text === null ? undefined : parseFailed(text, index)
}

/** Whether a filter says anything. */
export function hasFilter(filter: FailedFilter): boolean {
  const { queue, class: name, error, since, until, id } = filter
  return [queue, name, error, since, until, id].some((part) => part !== undefined)
}

/**
 * Whether an entry is worth parsing: text that lacks a plain name cannot hold it as a value, unless escapes hide it.
 * Looking for one class among thousands of others is mostly this.
 */
export function mayMatch(text: string, { queue, class: name, id }: FailedFilter): boolean {
  return [queue, name, id].every(
    (part) => part === undefined || !/^[\w.-]+$/.test(part) || text.includes(part) || text.includes('\\u'),
  )
}

export function matchesFailed(entry: FailedEntry, filter: FailedFilter): boolean {
  const { queue, class: name, error, since, until, id } = filter
  if (queue !== undefined && entry.queue !== queue) return false
  if (name !== undefined && entry.payload?.class !== name) return false
  if (id !== undefined && entry.payload?.id !== id) return false
  if (since !== undefined && !(entry.failedAt && entry.failedAt >= since)) return false
  if (until !== undefined && !(entry.failedAt && entry.failedAt < until)) return false
  return error === undefined || `${entry.exception}: ${entry.error}`.toLowerCase().includes(error.toLowerCase())
}

/**
 * Reads an entry as any of the family wrote it. Never throws: an entry that cannot be read (Ruby leaves `""` for a
 * moment) has no fields.
 */
export function parseFailed(text: string, index: number): FailedEntry {
  const fields = objectOf(text)
  const parsed = payloadOf(fields?.['payload'])
  return {
    index,
    get sha() {
      return shaOf(text)
    },
    failedAt: parseDate(fields?.['failed_at']),
    queue: textOf(fields?.['queue']) ?? '',
    worker: textOf(fields?.['worker']) ?? '',
    exception: textOf(fields?.['exception']) ?? '',
    error: textOf(fields?.['error']) ?? '',
    backtrace: linesOf(fields?.['backtrace']),
    payload: parsed.ok ? parsed.payload : undefined,
    retriedAt: parseDate(fields?.['retried_at']),
    attempt: numberOf(fields?.['attempt']),
    exitCode: numberOf(fields?.['exit_code']),
    signal: textOf(fields?.['signal']),
    peakMemoryBytes: numberOf(fields?.['peak_memory_bytes']),
    stderr: textOf(fields?.['stderr']),
    fields,
    text,
  }
}

function objectOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}

/** A backtrace as a list of lines: others write null, or one string. */
function linesOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return value.split('\n')
  return Array.isArray(value) ? value.map(String) : []
}
