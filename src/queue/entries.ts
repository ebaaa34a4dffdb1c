import { createHash } from 'node:crypto'
import { loadScript } from '../redis/scripts.ts'
import type { Patience, Store } from '../redis/store.ts'

const bytesScript = loadScript('element_bytes')

/** Entries looked at in one call at most: few where most are moved, many where a walk deep into the list has to pay. */
const CHUNK = 500
const WIDE_CHUNK = 1000
/** Characters that one call is meant to bring at most, and more than which no script compares or hashes in one call. */
const MUCH_TEXT = 2_000_000

/** One element of a list that is only looked through: a failed list or the quarantine. */
export interface Entry {
  readonly index: number
  readonly text: string
}

/** What came of the entries of one chunk. */
export interface Acted {
  /** Places that were removed. */
  readonly removed: ReadonlySet<number>
  /** How many entries were not where they had been seen: somebody else removed some. */
  readonly missing: number
  /** Go no further. */
  readonly enough?: boolean
}

/**
 * How many entries a list or sorted set has, and how many of them the first call of a walk asks for: as many as hold 2
 * million bytes by Redis' own estimate, but no more than 500. 500 entries of 5 MB would be a reply of 2.5 GB.
 */
export async function sizeUp(
  store: Store,
  count: 'llen' | 'zcard',
  key: string,
  patience?: Patience,
): Promise<{ readonly count: number; readonly chunk: number }> {
  const [entries, bytes] = await store.pipeline(
    [
      [count, key],
      ['memory', 'usage', key],
    ],
    patience,
  )
  if (typeof entries !== 'number') throw entries
  // Not everybody may ask for the estimate.
  return { count: entries, chunk: typeof bytes === 'number' ? bearable(entries, bytes, CHUNK) : CHUNK }
}

/** How many entries like these the next call of a walk asks for: 2 million characters of them, and `most` at most. */
export function nextChunk(texts: readonly string[], most: number = CHUNK): number {
  const characters = texts.reduce((sum, text) => sum + text.length, 0)
  return bearable(texts.length, characters, most)
}

function bearable(entries: number, characters: number, most: number): number {
  return Math.max(1, Math.min(Math.floor((MUCH_TEXT * entries) / Math.max(characters, 1)), most))
}

/** Runs of entries that together cost no more than a call may, in characters; one entry at least. */
export function* portions<T>(entries: Iterable<T>, cost: (entry: T) => number): Generator<readonly T[]> {
  let some: T[] = []
  let characters = 0
  for (const entry of entries) {
    characters += cost(entry)
    if (characters > MUCH_TEXT && some.length > 0) {
      yield some
      some = []
      characters = cost(entry)
    }
    some.push(entry)
  }
  if (some.length > 0) yield some
}

/** The SHA-1 that a script knows an entry by. */
export function shaOf(entry: string | Buffer): string {
  return createHash('sha1').update(entry).digest('hex')
}

/**
 * The exact bytes of an entry. Text that came through the client is exact unless it holds U+FFFD, which stands where
 * bytes were not UTF-8; then they are asked for once more. undefined when the entry is not there any more.
 */
export async function exactBytes(store: Store, list: string, entry: Entry): Promise<Buffer | undefined> {
  if (!entry.text.includes('\ufffd')) return Buffer.from(entry.text)
  const text = (await store.run(bytesScript, [list, entry.index])) as string | null
  const bytes = text === null ? undefined : Buffer.from(text, 'latin1')
  return bytes?.toString() === entry.text ? bytes : undefined
}

/**
 * Goes through a list from its head, a chunk at a time, while `act` removes entries. It ends where the list ended when
 * it began: new entries come at the tail and are not met, or a retried job that fails at once would be retried for ever
 * (as many are as somebody else removes in front of them). Where somebody else removes some, which shifts the rest, the
 * last entry that was kept is not where it was, and the walk steps back. So no entry is passed over, and some may be
 * seen twice.
 */
export async function sweep(
  store: Store,
  list: string,
  act: (entries: readonly Entry[]) => Promise<Acted>,
  signal?: AbortSignal,
): Promise<void> {
  let { count: end, chunk } = await sizeUp(store, 'llen', list, { signal })
  let start = 0
  let anchor: string | undefined
  let inVain = 0
  for (;;) {
    signal?.throwIfAborted()
    const from = anchor === undefined ? start : start - 1
    if (start >= end) return
    const last = Math.min(start + chunk, end) - 1
    const texts = (await store.command('lrange', [list, from, last], { signal })) as string[]
    if (anchor !== undefined && texts[0] !== anchor) {
      start = Math.max(0, start - WIDE_CHUNK)
      anchor = undefined
      continue
    }
    const entries = texts.map((text, i): Entry => ({ index: from + i, text })).slice(start - from)
    if (entries.length === 0) return
    const { removed, missing, enough } = await act(entries)
    if (enough) return
    end -= removed.size
    if (removed.size > 0) inVain = 0
    else if (missing > 0) inVain++
    // Somebody else who always is faster will see to these entries.
    if (missing > 0 && inVain < 10) {
      start = Math.max(0, start - WIDE_CHUNK)
      anchor = undefined
      continue
    }
    const kept = entries.filter((entry) => !removed.has(entry.index))
    chunk = nextChunk(
      entries.map((entry) => entry.text),
      removed.size * 4 > entries.length ? CHUNK : WIDE_CHUNK,
    )
    start += kept.length
    anchor = kept.at(-1)?.text ?? anchor
  }
}
