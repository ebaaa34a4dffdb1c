/**
 * Time as the engine sees it, so that tests can bring their own. Milliseconds everywhere inside; seconds on the wire.
 */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. For records that people read. */
  now(): number
  /** Monotonic milliseconds. For deadlines and durations: unaffected by a stepped wall clock. */
  monotonic(): number
}

/** The longest time that a timer of Node's takes; a longer one would fire at once. Milliseconds: 24.8 days. */
export const LONGEST_TIMER_MS: number = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
}

/** Waits; rejects with the signal's reason where it aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error)
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      if (signal?.aborted) reject(signal.reason as Error)
      else resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done, { once: true })
  })
}

/**
 * Waits until `work` has settled, or `ms` are over: then it is left to itself, and the answer is false. Rejects as
 * `work` does. An abort of `signal` ends the waiting as well, and is nobody's lateness.
 */
export async function settlesWithin(work: Promise<unknown>, ms: number, signal?: AbortSignal): Promise<boolean> {
  const over = new AbortController()
  const either = signal ? AbortSignal.any([over.signal, signal]) : over.signal
  const late = sleep(ms, either).then(
    () => false,
    () => true,
  )
  try {
    return await Promise.race([work.then(() => true), late])
  } finally {
    over.abort()
  }
}
