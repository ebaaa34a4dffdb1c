import type { Clock } from '../clock.ts'

interface ReaderOptions {
  /** How long an asker waits. Milliseconds. */
  readonly deadlineMs: number
  /** How long an asker waits after a read that failed or came too late, until one succeeds again. Milliseconds. */
  readonly impatientMs: number
  /** How long an answer serves further askers. Milliseconds. */
  readonly freshMs: number
  /** Told why a read failed, once until one succeeds again. */
  readonly onFailure?: ((error: unknown) => void) | undefined
}

/**
 * Makes reading something slow safe to ask for: at most one read is under way, everybody who asks meanwhile shares it,
 * and nobody waits for it longer than the deadline. Answers undefined where nothing came in time. A late answer still
 * serves who asks next.
 */
export function createReader<T>(
  read: () => Promise<T>,
  clock: Clock,
  options: ReaderOptions,
): () => Promise<T | undefined> {
  const { deadlineMs, impatientMs, freshMs, onFailure } = options
  let fresh: { readonly value: T; readonly since: number } | undefined
  let underWay: Promise<T | undefined> | undefined
  let answering = true
  let told = false

  const begin = (): Promise<T | undefined> => {
    const since = clock.monotonic()
    return read().then(
      (value) => {
        underWay = undefined
        answering = true
        told = false
        fresh = { value, since }
        return value
      },
      (error: unknown) => {
        underWay = undefined
        answering = false
        if (!told) onFailure?.(error)
        told = true
        return undefined
      },
    )
  }
  return async () => {
    if (fresh && clock.monotonic() - fresh.since <= freshMs) return fresh.value
    fresh = undefined
    underWay ??= begin()
    const late = Promise.withResolvers<undefined>()
    const timer = setTimeout(
      () => {
        answering = false
        late.resolve(undefined)
      },
      answering ? deadlineMs : impatientMs,
    )
    try {
      return await Promise.race([underWay, late.promise])
    } finally {
      clearTimeout(timer)
    }
  }
}
