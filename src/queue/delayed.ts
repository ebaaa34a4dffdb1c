import { ResQueueError } from '../errors.ts'
import { isObject } from '../json.ts'
import { isWrongType, unlessWrongType } from '../redis/replies.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Arg, Store } from '../redis/store.ts'
import { exactBytes, nextChunk, portions, shaOf, sizeUp } from './entries.ts'
import type { Lane } from './lane.ts'
import { limitOf, type MoveOptions } from './moves.ts'
import { parsePayload, type Payload } from './payload.ts'

const removeScript = loadScript('delayed_remove')

/** A job that is not due yet, whoever of the family filed it. */
export interface DelayedJob {
  readonly at: Date
  readonly second: number
  /** Empty where the item names none. */
  readonly queue: string
  readonly payload: Payload | undefined
  readonly raw: string
}

/** One that was looked at, at its place in the list of its second. */
interface Found extends DelayedJob {
  readonly index: number
}

/** A part of the list of one second. */
interface Part {
  readonly chunk: readonly Found[]
  readonly fitting: readonly Found[]
  /** How many were removed since: whoever removes says so. */
  removed: number
}

/** Which delayed jobs. Everything that is given must fit. */
export interface DelayedFilter {
  readonly queue?: string
  readonly class?: string
  /** The payload's whole list of arguments, compared by value. */
  readonly args?: readonly unknown[]
  readonly id?: string
  /** Only those of this second. */
  readonly at?: number
}

/** How many seconds have delayed jobs (R70). */
export async function delayedScheduleSize(store: Store): Promise<number> {
  return (await store.command('zcard', [store.keys.delayedSchedule])) as number
}

/** How many jobs are delayed to a second (R70). */
export async function delayedTimestampSize(store: Store, at: Date | number): Promise<number> {
  return (await store.command('llen', [store.keys.delayed(secondOf(at))])) as number
}

/** Seconds that have delayed jobs, the earliest first, with their sizes. */
export async function delayedTimestamps(
  store: Store,
  { offset = 0, limit = 100 }: { readonly offset?: number; readonly limit?: number } = {},
): Promise<readonly { readonly at: Date; readonly second: number; readonly size: number }[]> {
  if (limit <= 0) return [] // "0 to -1" would be all of them
  const seconds = (await store.command('zrange', [store.keys.delayedSchedule, offset, offset + limit - 1])) as string[]
  const sizes =
    seconds.length === 0 ? [] : await store.pipeline(seconds.map((second) => ['llen', store.keys.delayed(second)]))
  return seconds.map((second, i) => ({
    at: new Date(Number(second) * 1000),
    second: Number(second),
    size: typeof sizes[i] === 'number' ? sizes[i] : 0,
  }))
}

/** Delayed jobs, the earliest first, read a chunk at a time. */
export async function* delayedJobs(
  store: Store,
  filter: DelayedFilter = {},
  signal?: AbortSignal,
): AsyncGenerator<DelayedJob> {
  for await (const { fitting } of chunks(store, filter, signal, 'pass over')) {
    for (const { index: _, ...job } of fitting) yield job
  }
}

/** One page of the delayed jobs. */
export async function listDelayed(
  store: Store,
  { limit = 50, offset = 0, ...filter }: DelayedFilter & { readonly limit?: number; readonly offset?: number } = {},
): Promise<readonly DelayedJob[]> {
  const page: DelayedJob[] = []
  let skipped = 0
  if (!(limit > 0)) return page
  for await (const job of delayedJobs(store, filter)) {
    if (skipped++ < offset) continue
    page.push(job)
    if (page.length >= limit) break
  }
  return page
}

/**
 * Removes delayed jobs that fit, at all times or at one (R71), and returns how many. Items of any family member are
 * found, whatever their field order, escapes or extra fields; seconds without jobs go too. Throws `INVALID_ARGUMENT`
 * for an empty filter, unless `all`.
 */
export async function removeDelayed(
  lane: Lane,
  filter: DelayedFilter & { readonly all?: boolean },
  options: MoveOptions = {},
): Promise<number> {
  const { all, ...rest } = filter
  if (Object.values(rest).every((part) => part === undefined) && all !== true) {
    throw new ResQueueError(
      'INVALID_ARGUMENT',
      'Say which delayed jobs: a queue, a class, arguments, an id, a time, or all.',
    )
  }
  const total = { removed: 0, missing: 0 }
  for (let again = 0; again < MOST_AGAIN; again++) {
    total.missing = 0
    await removeFound(lane, rest, { ...options, limit: limitOf(options) }, total)
    if (total.missing === 0) break
  }
  return total.removed
}

/** How often all is looked through again because somebody else removed jobs, which moved others from their places. */
const MOST_AGAIN = 10

async function removeFound(
  { store, run }: Lane,
  filter: DelayedFilter,
  { dryRun = false, limit, progress, signal }: MoveOptions & { readonly limit: number },
  total: { removed: number; missing: number },
): Promise<void> {
  for await (const part of chunks(store, filter, signal, 'refuse')) {
    const { chunk, fitting } = part
    const chosen = new Set(fitting.slice(0, limit - total.removed))
    if (dryRun) total.removed += chosen.size
    else if (chosen.size > 0) {
      const { second } = chunk[0] as Found
      // Equal ones fit as well, and go in their turn unless there is a limit.
      const walk = limit === Infinity ? 0 : await delayedTimestampSize(store, second)
      let shift = 0
      for (const places of portions(chunk, (job) => job.raw.length + (chosen.has(job) ? walk : 0))) {
        signal?.throwIfAborted()
        const start = (places[0] as Found).index
        const named: Arg[] = []
        for (const job of places) {
          if (!chosen.has(job)) continue
          const bytes = await exactBytes(store, `delayed:${second}`, { index: job.index - shift, text: job.raw })
          if (bytes) named.push(job.index - start, shaOf(bytes))
          else total.missing++
        }
        if (named.length === 0) continue
        const args = [second, walk > 0 ? '1' : '', start - shift, places.length, ...named]
        const [removed = 0, missing = 0] = (await run(removeScript, args)).split(' ').map(Number)
        shift += removed
        part.removed += removed
        total.removed += removed
        total.missing += missing
        progress?.(total.removed)
      }
    }
    if (total.removed >= limit) return
  }
}

/**
 * Chunks of one second each in which jobs fit: all their jobs, and those that fit. `strays`: what to do about a key of
 * another type in the place of such a list.
 */
async function* chunks(
  store: Store,
  filter: DelayedFilter,
  signal: AbortSignal | undefined,
  strays: 'pass over' | 'refuse',
): AsyncGenerator<Part> {
  const { keys } = store
  let after = '-inf'
  for (;;) {
    const range = filter.at === undefined ? [after, '+inf'] : [filter.at, filter.at]
    const seconds = (await store.command('zrangebyscore', [keys.delayedSchedule, ...range, 'LIMIT', 0, 100], {
      signal,
    })) as string[]
    const [earliest] = seconds
    if (earliest === undefined) return
    let { chunk: size } = await unlessWrongType(sizeUp(store, 'llen', keys.delayed(earliest), { signal }), {
      count: 0,
      chunk: 1,
    })
    for (const second of seconds) {
      const key = keys.delayed(second)
      let from = 0
      for (;;) {
        signal?.throwIfAborted()
        const replies = await store.pipeline(
          [
            ['llen', key],
            ['lrange', key, from, from + size - 1],
          ],
          { signal },
        )
        const refused = replies.find((reply) => reply instanceof Error)
        if (refused && strays === 'pass over' && isWrongType(refused)) break
        if (refused) throw refused
        const [length, raws] = replies as [number, string[]]
        if (raws.length === 0) break
        const isAll = from === 0 && length <= size
        size = nextChunk(raws)
        const at = from
        const chunk = raws.map((raw, i): Found => ({ ...delayedOf(Number(second), raw), index: at + i }))
        const fitting = chunk.filter((job) => fits(job, filter))
        const part: Part = { chunk, fitting, removed: 0 }
        if (fitting.length > 0) yield part
        else if (isAll) break
        const left = (await store.command('llen', [key], { signal })) as number
        // What was removed shifted the rest towards the head; promotions may have, too. Then these places are looked at
        // again. What was filed meanwhile hides what others removed, and not what we did.
        from = Math.max(0, from + raws.length - Math.max(part.removed, length - left))
        if (from >= left) break
      }
    }
    if (seconds.length < 100 || filter.at !== undefined) return
    after = `(${seconds.at(-1)}`
  }
}

function delayedOf(second: number, raw: string): DelayedJob {
  const parsed = parsePayload(raw)
  const payload = parsed.ok ? parsed.payload : undefined
  const queue = payload?.fields['queue']
  return { at: new Date(second * 1000), second, queue: typeof queue === 'string' ? queue : '', payload, raw }
}

function fits({ queue, payload }: DelayedJob, filter: DelayedFilter): boolean {
  if (filter.queue !== undefined && queue !== filter.queue) return false
  if (filter.class !== undefined && payload?.class !== filter.class) return false
  if (filter.id !== undefined && payload?.id !== filter.id) return false
  return filter.args === undefined || (payload !== undefined && canonical(payload.args) === canonical(filter.args))
}

/** JSON with the keys of objects in order: equal for equal values. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    isObject(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  )
}

/** Taken as it is: others may have filed jobs under what is no time. */
function secondOf(at: Date | number): number {
  return at instanceof Date ? Math.ceil(at.getTime() / 1000) : at
}
