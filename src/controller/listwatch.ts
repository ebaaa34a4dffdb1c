import { sleep } from '../clock.ts'
import { httpStatusOf, type ApiServer } from './apiserver.ts'
import { listAll, type KubeObject } from './resources.ts'

/** A watch that says nothing for this long, not even that it ends, is opened anew from where it was. Milliseconds. */
const SILENCE_MS = 30_000
/**
 * The server is asked to end a watch after so long, within the silence: two seconds before, a bookmark says how far it
 * has come. A watch of what does not change would go on from where it began otherwise, until the server has forgotten
 * that. Seconds.
 */
const WATCH_S = 25
/** However well the watch goes, everything is listed again this often. Milliseconds. */
const RELIST_MS = 10 * 60_000
const LEAST_BACKOFF_MS = 200
const MOST_BACKOFF_MS = 10_000
/** The longest wait that a Retry-After may ask for. Milliseconds. */
const LONGEST_RETRY_MS = 30_000

export interface WatchOptions<T extends KubeObject, Kept> {
  readonly api: ApiServer
  /** Of the collection. */
  readonly path: string
  /** What is kept of an object: whole ones would fill the memory. undefined: nothing. */
  readonly keep: (object: T) => Kept | undefined
  /** Told of every change after it was made to `items`; `now` undefined: the object is gone. Must not throw. */
  readonly changed?: (uid: string, now: Kept | undefined, before: Kept | undefined) => void
  /** Told of every failure, once for each. */
  readonly trouble?: (error: unknown) => void
  /** A shorter silence for tests. */
  readonly silenceMs?: number
}

/**
 * A copy of a collection, kept fresh for as long as `run` runs. A lost watch costs freshness, never truth: all is
 * listed again.
 */
export interface Watched<Kept> {
  /** By uid. */
  readonly items: ReadonlyMap<string, Kept>
  /** Whether everything was listed once. */
  readonly synced: boolean
  /** Resolves when it was. */
  readonly ready: Promise<void>
  /** Lists done, and lines that could not be read, since the start. */
  readonly counts: { readonly lists: number; readonly unreadable: number }
  /** Lists and watches until `signal` aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>
}

/** What a line of a watch says. */
interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
  readonly object: T & { readonly code?: number; readonly message?: string }
}

/** Ends the watch and lists again. */
class Relist extends Error {}

/**
 * Keeps a copy of a collection by listing and watching, through everything that befalls a watch: clean ends, silence,
 * cut lines, a history that is gone (410, as status or in the stream), refused credentials, 429 and a restarted API
 * server. One loop with one backoff; the signal is looked at after every wait.
 */
export function watchKind<T extends KubeObject, Kept>(kind: WatchOptions<T, Kept>): Watched<Kept> {
  const { api, path, keep, changed, trouble, silenceMs = SILENCE_MS } = kind
  const items = new Map<string, Kept>()
  const ready = Promise.withResolvers<void>()
  const counts = { lists: 0, unreadable: 0 }
  let synced = false
  /** How far lists and watches have come; undefined: all must be listed. */
  let from: string | undefined

  const put = (object: T): void => {
    const { uid } = object.metadata
    const kept = keep(object)
    const before = items.get(uid)
    if (kept === undefined) items.delete(uid)
    else items.set(uid, kept)
    if (kept !== undefined || before !== undefined) changed?.(uid, kept, before)
  }
  const drop = (uid: string): void => {
    const before = items.get(uid)
    if (before === undefined) return
    items.delete(uid)
    changed?.(uid, undefined, before)
  }

  const list = async (signal: AbortSignal): Promise<void> => {
    const { items: listed, resourceVersion } = await listAll<T>(api, path, { signal })
    counts.lists++
    const present = new Set(listed.map(({ metadata }) => metadata.uid))
    for (const uid of items.keys()) if (!present.has(uid)) drop(uid)
    for (const object of listed) put(object)
    synced = true
    from = resourceVersion
    ready.resolve()
  }

  /** Follows the watch to its clean end. */
  const follow = async (until: number, signal: AbortSignal): Promise<void> => {
    const timeoutSeconds = Math.max(1, Math.ceil(Math.min(until - performance.now(), WATCH_S * 1000) / 1000))
    const query = { watch: true, allowWatchBookmarks: true, resourceVersion: from, timeoutSeconds }
    for await (const line of api.watch({ path, query, signal, silenceMs })) {
      let event: WatchEvent<T>
      try {
        event = JSON.parse(line) as WatchEvent<T>
      } catch {
        counts.unreadable++
        throw new Relist('a line of the watch cannot be read')
      }
      const { type, object } = event
      if (type === 'ERROR') throw new Relist(`${object.code ?? ''} ${object.message ?? 'an error in the watch'}`.trim())
      from = object.metadata.resourceVersion
      if (type === 'ADDED' || type === 'MODIFIED') put(object)
      else if (type === 'DELETED') drop(object.metadata.uid)
    }
  }

  const run = async (signal: AbortSignal): Promise<void> => {
    let listedAt = 0
    let failures = 0
    while (!signal.aborted) {
      const startedAt = performance.now()
      try {
        if (from === undefined || startedAt - listedAt >= RELIST_MS) {
          await list(signal)
          listedAt = performance.now()
        }
        await follow(listedAt + RELIST_MS, signal)
        failures = 0
        // A server that ends watches at once is not asked without a pause.
        if (performance.now() - startedAt < 1000) await sleep(LEAST_BACKOFF_MS, signal).catch(() => undefined)
      } catch (error) {
        if (signal.aborted) return
        const status = httpStatusOf(error)
        if (error instanceof Relist || status === 410) from = undefined
        // What broke after a good while begins its backoff anew.
        if (performance.now() - startedAt > 10_000) failures = 0
        trouble?.(error)
        const asked = (error as { data?: { retryAfterMs?: number } }).data?.retryAfterMs
        const backoff = Math.min(LEAST_BACKOFF_MS * 2 ** failures++, MOST_BACKOFF_MS)
        const wait = Math.max(Math.min(asked ?? 0, LONGEST_RETRY_MS), backoff)
        await sleep(wait * (0.75 + Math.random() / 2), signal).catch(() => undefined)
      }
    }
  }

  return {
    items,
    counts,
    ready: ready.promise,
    get synced() {
      return synced
    },
    run,
  }
}
