import { ResQueueError } from '../errors.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Store } from '../redis/store.ts'
import { nextChunk, portions, sizeUp } from './entries.ts'
import type { Lane } from './lane.ts'
import { limitOf, type MoveOptions } from './moves.ts'
import { parsePayload, type Payload } from './payload.ts'

const removeScript = loadScript('retry_remove')

/** A job that failed and waits to run again. */
export interface RetryEntry {
  /** The claim of the attempt that failed: names the entry. */
  readonly claim: string
  readonly dueAt: Date
  /** Attempts that have ended. */
  readonly attempt: number
  readonly queue: string
  /** `Type: message` of the last attempt. */
  readonly error: string
  readonly payload: Payload | undefined
  readonly raw: string
}

/** Which retries. Everything that is given must fit. */
export interface RetryFilter {
  /** One of these. */
  readonly claim?: string | readonly string[]
  readonly id?: string
  readonly queue?: string
  readonly class?: string
}

/** How many retries wait. */
export async function countRetries(store: Store): Promise<number> {
  return (await store.command('zcard', [store.keys.retry])) as number
}

/** One page of the retries, by due time. */
export async function listRetries(
  store: Store,
  { offset = 0, limit = 50 }: { readonly offset?: number; readonly limit?: number } = {},
): Promise<{ readonly entries: readonly RetryEntry[]; readonly total: number }> {
  const [entries, total] = await Promise.all([
    readPage(store, offset, Math.min(Math.max(limit, 1), 1000)),
    countRetries(store),
  ])
  return { entries, total }
}

/** Retries that fit, by due time, read a chunk at a time. */
export async function* retriesThatFit(
  store: Store,
  filter: RetryFilter,
  signal?: AbortSignal,
): AsyncGenerator<RetryEntry> {
  const { fits } = matcherOf(filter)
  for await (const { entries } of parts(store, signal)) yield* entries.filter(fits)
}

/** A part of the retries. */
interface Part {
  readonly entries: readonly RetryEntry[]
  /** How many of its last due time were removed since: whoever removes says so. */
  removed: number
}

/** All retries, by due time. What is promoted meanwhile stood in front, and shifts nothing that is still to come. */
async function* parts(store: Store, signal: AbortSignal | undefined): AsyncGenerator<Part> {
  let { chunk: size } = await sizeUp(store, 'zcard', store.keys.retry, { signal })
  let [from, passed] = ['-inf', 0]
  for (;;) {
    signal?.throwIfAborted()
    const range = [store.keys.retry, from, '+inf', 'WITHSCORES', 'LIMIT', passed, size]
    const flat = (await store.command('zrangebyscore', range, { signal })) as string[]
    const last = flat.at(-1)
    if (last === undefined) return
    const part: Part = { entries: readEntries(flat), removed: 0 }
    yield part
    if (flat.length < 2 * size) return
    const alike = flat.filter((text, i) => i % 2 === 1 && text === last).length
    passed = Math.max(0, alike + (last === from ? passed : 0) - part.removed)
    from = last
    size = nextChunk(part.entries.map(({ raw }) => raw))
  }
}

/**
 * Removes retries that fit: these jobs do not run again. Returns how many. Throws `INVALID_ARGUMENT` for an empty
 * filter, unless `all`.
 */
export async function removeRetries(
  lane: Lane,
  filter: RetryFilter & { readonly all?: boolean },
  options: MoveOptions = {},
): Promise<number> {
  const { all, ...rest } = filter
  const { dryRun = false, progress, signal } = options
  const { fits, most } = matcherOf(rest)
  const limit = Math.min(limitOf(options), most)
  if (Object.values(rest).every((part) => part === undefined) && all !== true) {
    throw new ResQueueError('INVALID_ARGUMENT', 'Say which retries: a claim, an id, a queue, a class, or all.')
  }
  if (limit === 0) return 0
  let done = 0
  for await (const part of parts(lane.store, signal)) {
    const last = part.entries.at(-1)?.dueAt.getTime()
    // What cannot be read has no claim to be removed by.
    const chosen = part.entries.filter((entry) => entry.claim !== '' && fits(entry)).slice(0, limit - done)
    const before = done
    for (const some of portions(chosen, ({ raw, error }) => raw.length + error.length)) {
      const names = some.flatMap((entry) => [scoreOf(entry), entry.claim])
      done += dryRun ? some.length : Number(await lane.run(removeScript, names))
      progress?.(done)
    }
    if (done >= limit) break
    const late = chosen.filter(({ dueAt }) => Object.is(dueAt.getTime(), last)).length
    if (!dryRun) part.removed = Math.min(late, done - before)
  }
  return done
}

async function readPage(store: Store, offset: number, limit: number): Promise<readonly RetryEntry[]> {
  return readEntries(
    (await store.command('zrange', [store.keys.retry, offset, offset + limit - 1, 'WITHSCORES'])) as string[],
  )
}

/** Reads what ZRANGE answers WITHSCORES. */
function readEntries(flat: readonly string[]): readonly RetryEntry[] {
  const entries: RetryEntry[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) entries.push(parseRetry(flat[i] as string, Number(flat[i + 1])))
  return entries
}

/** A date cannot be infinite; of scores that are, only +inf waits. */
function scoreOf({ dueAt }: RetryEntry): number | string {
  return Number.isNaN(dueAt.getTime()) ? '+inf' : dueAt.getTime()
}

/** Reads `<nonce>.<k> <attempt> <queue bytes> <error bytes> <queue><error><raw>`. */
function parseRetry(member: string, dueMs: number): RetryEntry {
  const head = /^(\S+) (\d+) (\d+) (\d+) /.exec(member.slice(0, 200))
  const dueAt = new Date(dueMs)
  if (!head) return { claim: '', dueAt, attempt: 0, queue: '', error: '', payload: undefined, raw: member }
  const rest = Buffer.from(member.slice(head[0].length))
  const [, claim = '', attempt, queueBytes, errorBytes] = head
  const errorAt = Number(queueBytes)
  const rawAt = errorAt + Number(errorBytes)
  const raw = rest.toString('utf8', rawAt)
  const parsed = parsePayload(raw)
  return {
    claim,
    dueAt,
    attempt: Number(attempt),
    queue: rest.toString('utf8', 0, errorAt),
    error: rest.toString('utf8', errorAt, rawAt),
    payload: parsed.ok ? parsed.payload : undefined,
    raw,
  }
}

/** A test of entries, and how many can pass it: a claim names one. */
function matcherOf({ claim, id, queue, class: name }: RetryFilter): {
  readonly fits: (entry: RetryEntry) => boolean
  readonly most: number
} {
  const claims = claim === undefined ? undefined : new Set([claim].flat())
  return {
    most: claims?.size ?? Infinity,
    fits: (entry) => {
      if (claims !== undefined && !claims.has(entry.claim)) return false
      if (id !== undefined && entry.payload?.id !== id) return false
      if (queue !== undefined && entry.queue !== queue) return false
      return name === undefined || entry.payload?.class === name
    },
  }
}
