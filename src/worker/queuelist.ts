import type { Selection } from '../queue/selection.ts'
import type { Patience, Store } from '../redis/store.ts'

/** A pattern's queues are read again at least this often, even when their number stays. Milliseconds. */
const REFRESH_MS = 5000

/** The queues a worker serves, patterns resolved; cached, because `*` may mean thousands (R14). */
export interface QueueList {
  readonly queues: () => readonly string[]
  /** Those worth waiting on: without the paused ones. */
  readonly waitable: () => readonly string[]
  /** Returns whether a queue that was paused is so no longer. */
  setPaused(names: readonly string[]): boolean
  /** Reads the names anew where there are patterns. Resolves when Redis has answered in any case. */
  refresh(patience: Patience): Promise<void>
  /** Reads the names anew where their number changed or five seconds passed. Resolves to whether the list changed. */
  refreshIfChanged(known: number, now: number, patience: Patience): Promise<boolean>
}

export function createQueueList(store: Store, selection: Selection): QueueList {
  let queues = selection.dynamic ? [] : selection.resolve([])
  let paused = new Set<string>()
  let knownCount = -1
  let readAt = -Infinity
  let reading = false

  const refresh = async (patience: Patience): Promise<void> => {
    if (!selection.dynamic) {
      await store.command('ping', [], patience)
      return
    }
    const known = (await store.command('smembers', [store.keys.queues], patience)) as string[]
    queues = selection.resolve(known)
    knownCount = known.length
  }

  return {
    queues: () => queues,
    waitable: () => (paused.size === 0 ? queues : queues.filter((queue) => !paused.has(queue))),
    setPaused: (names) => {
      if (names.length === paused.size && names.every((name) => paused.has(name))) return false
      const before = paused
      paused = new Set(names)
      return [...before].some((name) => !paused.has(name))
    },
    refresh,
    refreshIfChanged: async (known, now, patience) => {
      if (!selection.dynamic || reading || (known === knownCount && now - readAt < REFRESH_MS)) return false
      reading = true
      try {
        const before = queues
        readAt = now
        await refresh(patience)
        return before.length !== queues.length || before.some((queue, i) => queue !== queues[i])
      } finally {
        reading = false
      }
    },
  }
}
