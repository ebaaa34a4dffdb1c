import { ResQueueError } from '../errors.ts'
import type { Script } from '../redis/scripts.ts'
import type { Arg } from '../redis/store.ts'
import { exactBytes, shaOf, sweep, type Acted, type Entry } from './entries.ts'
import type { Lane } from './lane.ts'

/** How far entries are moved or removed, and who is told. */
export interface MoveOptions {
  /** Count only. */
  readonly dryRun?: boolean
  /** At most so many. */
  readonly limit?: number
  /** Told after each call to Redis how many are done. */
  readonly progress?: (done: number) => void
  /** Stops before the next call to Redis. */
  readonly signal?: AbortSignal
}

/** At most how many. Throws `INVALID_ARGUMENT` for what is no number: compared with NaN, all would be taken. */
export function limitOf({ limit = Infinity }: MoveOptions): number {
  if (typeof limit === 'number' && !Number.isNaN(limit)) return limit
  throw new ResQueueError('INVALID_ARGUMENT', `"limit" must be a number, not ${limit}.`)
}

/** What was moved or removed. */
export interface Moved {
  readonly moved: number
  /** Entries that fit and could not be moved: they stay. */
  readonly skipped: number
}

/** How entries of one list are moved or removed. */
export interface Mover {
  /** The list, without the namespace. */
  readonly list: string
  /**
   * Takes `before`, the first index, the number of places looked at, then for each entry its place, SHA-1 and `detail`.
   */
  readonly script: Script
  readonly before: readonly Arg[]
  fits(entry: Entry): boolean
  /** Further arguments for an entry; undefined where it must stay. */
  detail(entry: Entry, bytes: Buffer): readonly Arg[] | undefined
}

/** Moves one entry, or all that fit. Several may do this at once: none is moved twice, none is passed over. */
export async function moveEntries(
  lane: Lane,
  mover: Mover,
  only: Entry | undefined,
  options: MoveOptions,
): Promise<Moved> {
  const total = { moved: 0, skipped: 0 }
  const limit = limitOf(options)
  const act = (entries: readonly Entry[]): Promise<Acted> =>
    moveSome(lane, mover, entries, { ...options, limit }, total)
  if (only) await act([only])
  else await sweep(lane.store, `${lane.store.keys.prefix}${mover.list}`, act, options.signal)
  return total
}

async function moveSome(
  lane: Lane,
  mover: Mover,
  entries: readonly Entry[],
  { dryRun = false, limit, progress }: MoveOptions & { readonly limit: number },
  total: { moved: number; skipped: number },
): Promise<Acted> {
  const first = entries[0] as Entry
  const args: Arg[] = []
  const chosen = new Set<number>()
  let gone = 0
  for (const entry of entries) {
    if (total.moved + chosen.size >= limit) break
    if (!mover.fits(entry)) continue
    const bytes = await exactBytes(lane.store, mover.list, entry)
    const detail = bytes && mover.detail(entry, bytes)
    if (!bytes) gone++
    else if (!detail) total.skipped++
    else {
      args.push(entry.index - first.index, shaOf(bytes), ...detail)
      chosen.add(entry.index)
    }
  }
  if (dryRun || chosen.size === 0) {
    total.moved += chosen.size
    return { removed: new Set(), missing: gone, enough: total.moved >= limit }
  }
  const answer = await lane.run(mover.script, [...mover.before, first.index, entries.length, ...args])
  const [moved = 0, missing = 0] = answer.split(' ').map(Number)
  total.moved += moved
  progress?.(total.moved)
  return { removed: chosen, missing: missing + gone, enough: total.moved >= limit }
}
