import type { Store } from '../redis/store.ts'

/** Seconds that one wait lasts at most: new queues of a pattern are waited on after it. */
const WAIT_SECONDS = 5

export interface Waiter {
  /** Tells the waiter that `able` or `queues` may have changed. */
  nudge(): void
  stop(): void
}

/**
 * Waits on the tokens of queues with one blocking connection, while `able` says that a job could be taken. `woken` gets
 * the queue of each token. Errors are left to the interval's look, which finds all work anyway.
 */
export function startWaiter(
  store: Store,
  options: { able(): boolean; queues(): readonly string[]; woken(queue: string): void },
): Waiter {
  const blocking = store.open('blocking', 'resqueue-waiter')
  const stop = new AbortController()
  const prefix = store.keys.token('')
  let nudge = Promise.withResolvers<void>()

  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const queues = options.queues()
      if (!options.able() || queues.length === 0) {
        await nudge.promise
        nudge = Promise.withResolvers()
        continue
      }
      try {
        const tokens = queues.map((queue) => store.keys.token(queue))
        const reply = (await blocking.command('blpop', [...tokens, WAIT_SECONDS], {
          deadlineMs: Infinity,
          signal: stop.signal,
          stubborn: true,
        })) as [string, string] | null
        if (reply) options.woken(reply[0].slice(prefix.length))
        // Give the turn that follows a chance to fill the slots before waiting again.
        await new Promise((resolve) => setImmediate(resolve))
      } catch {
        if (stop.signal.aborted) return
        // A nudge of long ago would let what is refused (a token key of another type) be asked for without a pause.
        nudge = Promise.withResolvers()
        await Promise.race([nudge.promise, new Promise((resolve) => setTimeout(resolve, 1000).unref())])
      }
    }
  }
  void loop()

  return {
    nudge: () => nudge.resolve(),
    stop: () => {
      stop.abort()
      nudge.resolve()
      blocking.close()
    },
  }
}
