import { ResQueueError } from '../errors.ts'
import { statusName } from '../redis/keys.ts'
import { loadScript, type Script } from '../redis/scripts.ts'
import type { Arg } from '../redis/store.ts'
import {
  failedListName,
  hasFilter,
  matchesFailed,
  mayMatch,
  parseFailed,
  showFailed,
  type FailedEntry,
  type FailedFilter,
  type FailedList,
} from './failed.ts'
import type { Entry } from './entries.ts'
import type { Lane } from './lane.ts'
import { moveEntries, type MoveOptions, type Moved, type Mover } from './moves.ts'
import { fieldSpan } from './span.ts'

const retryScript = loadScript('failed_retry')
const removeScript = loadScript('entries_remove')
const clearScript = loadScript('list_clear')

/** Which failed entries to act on: one by its index, those that fit a filter, or all. What is given must fit. */
export interface FailedSelection extends FailedList, FailedFilter {
  readonly index?: number
  /** Only an entry with these bytes: beside `index`, only if it is still that entry. */
  readonly sha?: string
  /** Must be true where nothing else is given. */
  readonly all?: boolean
}

/**
 * Retries failed jobs: moves each payload, byte for byte, to the tail of its queue and removes the entry, atomically;
 * many in one call. Several may do this at once: no job is doubled. Throws `INVALID_ARGUMENT` for a selection that says
 * nothing.
 */
export async function retryFailed(lane: Lane, selection: FailedSelection, options: MoveOptions = {}): Promise<Moved> {
  return act(lane, selection, options, retryScript, retryDetail)
}

/** Removes failed entries; see `retryFailed`. */
export async function removeFailed(lane: Lane, selection: FailedSelection, options: MoveOptions = {}): Promise<number> {
  return (await act(lane, selection, options, removeScript, () => [])).moved
}

/** Empties a failed list; returns how many entries it had. */
export async function clearFailed(lane: Lane, list: FailedList = {}): Promise<number> {
  return Number(await lane.run(clearScript, [failedListName(list)]))
}

async function act(
  lane: Lane,
  selection: FailedSelection,
  options: MoveOptions,
  script: Script,
  detail: (entry: FailedEntry, bytes: Buffer) => Arg[] | undefined,
): Promise<Moved> {
  const { index, sha, all } = selection
  if (index === undefined && !hasFilter(selection) && all !== true) {
    throw new ResQueueError('INVALID_ARGUMENT', 'Say which failed jobs: an index, a filter, or all.')
  }
  const list = failedListName(selection)
  const parsed = new WeakMap<Entry, FailedEntry>()
  const read = (entry: Entry): FailedEntry => {
    const known = parsed.get(entry) ?? parseFailed(entry.text, entry.index)
    parsed.set(entry, known)
    return known
  }
  const fits = (entry: FailedEntry): boolean =>
    matchesFailed(entry, selection) && (sha === undefined || entry.sha === sha)
  const mover: Mover = {
    list,
    script,
    before: [list],
    fits: (entry) => mayMatch(entry.text, selection) && fits(read(entry)),
    detail: (entry, bytes) => detail(read(entry), bytes),
  }
  const only = index === undefined ? undefined : await showFailed(lane.store, index, selection)
  if (index !== undefined && (!only || !fits(only))) return { moved: 0, skipped: 0 }
  return moveEntries(lane, mover, only, options)
}

/** Queue, where the payload's bytes stand, and status name; undefined for an entry that cannot become a job again. */
function retryDetail({ payload, queue }: FailedEntry, bytes: Buffer): Arg[] | undefined {
  const span = payload && queue !== '' ? fieldSpan(bytes, 'payload') : undefined
  if (!payload || !span) return undefined
  return [queue, span.start + 1, span.end, payload.id === '' ? '' : statusName(payload.id, payload.prefix)]
}
