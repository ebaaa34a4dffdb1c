import { ResQueueError } from '../errors.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Store } from '../redis/store.ts'
import { nextChunk, shaOf, sizeUp, type Entry } from './entries.ts'
import type { Lane } from './lane.ts'
import { moveEntries, type MoveOptions, type Moved, type Mover } from './moves.ts'
import { parsePayload } from './payload.ts'

const releaseScript = loadScript('quarantine_release')
const removeScript = loadScript('entries_remove')
const clearScript = loadScript('list_clear')
const LIST = 'ext:quarantine'

/** An element of a queue that cannot be a job. */
export interface QuarantineEntry {
  readonly index: number
  readonly sha: string
  readonly quarantinedAt: Date | undefined
  /** The queue it stood in; empty where that is not known (a delayed item without one). */
  readonly queue: string
  readonly raw: string
  /** Why it cannot be a job; empty where it could be one. */
  readonly reason: string
}

/** Which quarantined elements: one by its index, those that came from a queue, or all. What is given must fit. */
export interface QuarantineSelection {
  readonly index?: number
  /** Beside `index`: only if it is still that entry. */
  readonly sha?: string
  readonly queue?: string
  /** Must be true where nothing else is given. */
  readonly all?: boolean
}

/** One page of the quarantine, oldest first. */
export async function listQuarantine(
  store: Store,
  { offset = 0, limit = 50 }: { readonly offset?: number; readonly limit?: number } = {},
): Promise<{
  readonly entries: readonly QuarantineEntry[]
  readonly total: number
}> {
  const [texts, total] = await store.pipeline([
    ['lrange', store.keys.quarantine, offset, offset + Math.min(Math.max(limit, 1), 1000) - 1],
    ['llen', store.keys.quarantine],
  ])
  if (texts instanceof Error) throw texts
  return {
    entries: (texts as string[]).map((text, i) => parseQuarantined({ index: offset + i, text })),
    total: total as number,
  }
}

/** Quarantined elements, of one queue or of all, oldest first, read a chunk at a time. */
export async function* quarantineThatFits(
  store: Store,
  queue?: string,
  signal?: AbortSignal,
): AsyncGenerator<QuarantineEntry> {
  let { chunk: limit } = await sizeUp(store, 'llen', store.keys.quarantine, { signal })
  for (let offset = 0; ;) {
    signal?.throwIfAborted()
    const { entries } = await listQuarantine(store, { offset, limit })
    for (const entry of entries) if (queue === undefined || entry.queue === queue) yield entry
    if (entries.length < limit) return
    offset += entries.length
    limit = nextChunk(entries.map(({ raw }) => raw))
  }
}

/** One entry by its index; undefined where there is none. */
export async function showQuarantined(store: Store, index: number): Promise<QuarantineEntry | undefined> {
  const text = (await store.command('lindex', [store.keys.quarantine, index])) as string | null
  return text === null ? undefined : parseQuarantined({ index, text })
}

/** Moves elements, byte for byte, to the tails of the queues they came from: for a worker that can read them by now. */
export async function releaseQuarantined(
  lane: Lane,
  selection: QuarantineSelection,
  options: MoveOptions = {},
): Promise<Moved> {
  return act(lane, selection, options, {
    script: releaseScript,
    before: [],
    detail: (entry) => (parseQuarantined(entry).queue === '' ? undefined : []),
  })
}

/** Removes elements for good; returns how many. */
export async function removeQuarantined(
  lane: Lane,
  selection: QuarantineSelection,
  options: MoveOptions = {},
): Promise<number> {
  return (await act(lane, selection, options, { script: removeScript, before: [LIST], detail: () => [] })).moved
}

/** Empties the quarantine; returns how many elements it had. */
export async function clearQuarantine(lane: Lane): Promise<number> {
  return Number(await lane.run(clearScript, [LIST]))
}

async function act(
  lane: Lane,
  selection: QuarantineSelection,
  options: MoveOptions,
  how: Pick<Mover, 'script' | 'before' | 'detail'>,
): Promise<Moved> {
  const { index, sha, queue, all } = selection
  if (index === undefined && queue === undefined && all !== true) {
    throw new ResQueueError('INVALID_ARGUMENT', 'Say which quarantined payloads: an index, a queue, or all.')
  }
  const fits = (entry: Entry): boolean => queue === undefined || parseQuarantined(entry).queue === queue
  const mover: Mover = { list: LIST, fits, ...how }
  if (index === undefined) return moveEntries(lane, mover, undefined, options)
  const text = (await lane.store.command('lindex', [lane.store.keys.quarantine, index])) as string | null
  if (text === null || !fits({ index, text }) || (sha !== undefined && shaOf(text) !== sha))
    return { moved: 0, skipped: 0 }
  return moveEntries(lane, mover, { index, text }, options)
}

/** Reads `<ms> <queue bytes> <queue><raw>`. */
function parseQuarantined({ index, text }: Entry): QuarantineEntry {
  const head = /^(\d+) (\d+) /.exec(text.slice(0, 64))
  if (!head)
    return {
      index,
      sha: shaOf(text),
      quarantinedAt: undefined,
      queue: '',
      raw: text,
      reason: 'the entry is not of the quarantine',
    }
  const rest = Buffer.from(text.slice(head[0].length))
  const length = Number(head[2])
  const raw = rest.toString('utf8', length)
  const parsed = parsePayload(raw)
  return {
    index,
    sha: shaOf(text),
    quarantinedAt: new Date(Number(head[1])),
    queue: rest.toString('utf8', 0, length),
    raw,
    reason: parsed.ok ? '' : parsed.reason,
  }
}
