import { systemClock, type Clock } from '../clock.ts'

/**
 * What became of a key's turn: when to look at it again (`Infinity`: not unless it is added anew), or that it failed.
 */
export type Turn = { readonly afterMs: number } | { readonly failed: unknown }

export interface WorkQueueOptions {
  /** Does the work of a key. Is never called for a key that is being worked. A throw counts as failed. */
  readonly work: (key: string) => Promise<Turn>
  /** Keys worked at a time. */
  readonly concurrency?: number
  /** After a first failure; doubled by each further one, up to a minute. Milliseconds. */
  readonly leastBackoffMs?: number
  /** Share by which waits differ at random, so that keys spread out. */
  readonly jitter?: number
  readonly clock?: Clock
}

/**
 * A level-triggered queue of keys. A key is in it once, however often it is added; one that is added while it is worked
 * is worked again afterwards; every key comes back by itself, after the time that its last turn asked for or after a
 * backoff. Nothing is remembered of why a key was added: the work reads everything anew.
 */
export interface WorkQueue {
  /** Soon: at once, or within `afterMs` where that is sooner than what was planned. */
  add(key: string, afterMs?: number): void
  /** Keys whose time has come and that wait for their turn. */
  readonly depth: number
  readonly size: number
  /** Works until `signal` aborts; resolves when no turn is under way any more. */
  run(signal: AbortSignal): Promise<void>
}

interface Entry {
  /** Monotonic ms at which it is due; Infinity while it is worked and nobody asked for it. */
  dueAt: number
  working: boolean
  failures: number
}

const MOST_BACKOFF_MS = 60_000

/** The longest sleep between two looks at what is due. */
const LONGEST_SLEEP_MS = 1000

export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  const { work, concurrency = 4, leastBackoffMs = 500, jitter = 0.1, clock = systemClock } = options
  const entries = new Map<string, Entry>()
  let wake: (() => void) | undefined

  const due = (): [string, Entry][] => {
    const now = clock.monotonic()
    return [...entries]
      .filter(([, entry]) => !entry.working && entry.dueAt <= now)
      .sort(([, a], [, b]) => a.dueAt - b.dueAt)
  }
  const spread = (ms: number): number => ms * (1 + jitter * (2 * Math.random() - 1))

  const turn = async (key: string, entry: Entry): Promise<void> => {
    entry.working = true
    entry.dueAt = Infinity
    let result: Turn
    try {
      result = await work(key)
    } catch (error) {
      result = { failed: error }
    }
    entry.working = false
    let afterMs: number
    if ('failed' in result) {
      afterMs = Math.min(leastBackoffMs * 2 ** entry.failures, MOST_BACKOFF_MS)
      entry.failures++
    } else {
      entry.failures = 0
      afterMs = result.afterMs
    }
    entry.dueAt = Math.min(entry.dueAt, clock.monotonic() + spread(afterMs))
    if (entry.dueAt === Infinity) entries.delete(key)
    wake?.()
  }

  return {
    add: (key, afterMs = 0) => {
      const dueAt = clock.monotonic() + afterMs
      const entry = entries.get(key)
      if (!entry) entries.set(key, { dueAt, working: false, failures: 0 })
      // A key in backoff is not hurried: whatever failed is asked again in its time.
      else if (entry.failures === 0 || entry.working) entry.dueAt = Math.min(entry.dueAt, dueAt)
      wake?.()
    },
    get depth() {
      return due().length
    },
    get size() {
      return entries.size
    },
    run: async (signal) => {
      const running = new Set<Promise<void>>()
      while (!signal.aborted) {
        for (const [key, entry] of due()) {
          if (running.size >= concurrency) break
          const one: Promise<void> = turn(key, entry).finally(() => running.delete(one))
          running.add(one)
        }
        const next = Math.min(...[...entries.values()].filter((e) => !e.working).map((e) => e.dueAt), Infinity)
        const full = running.size >= concurrency
        const ms = full ? LONGEST_SLEEP_MS : Math.min(Math.max(next - clock.monotonic(), 0), LONGEST_SLEEP_MS)
        await new Promise<void>((resolve) => {
          const done = (): void => {
            clearTimeout(timer)
            signal.removeEventListener('abort', done)
            wake = undefined
            resolve()
          }
          const timer = setTimeout(done, ms)
          wake = done
          signal.addEventListener('abort', done, { once: true })
        })
      }
      await Promise.all(running)
    },
  }
}
