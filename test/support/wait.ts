import { setTimeout as delay } from 'node:timers/promises'

/** How long tests wait for what has no deadline: a busy machine is no failure. Milliseconds. */
export const PATIENCE_MS = 60_000

export interface WaitOptions {
  /** Default `PATIENCE_MS`. Shorter or longer only where it is promised. */
  readonly timeoutMs?: number
  readonly everyMs?: number
  /** What is waited for, for the error; a function is asked when time is up and may report what was seen instead. */
  readonly describe?: string | (() => unknown)
}

type Truthy<T> = Exclude<T, false | null | undefined | 0 | ''>

/** Polls until `condition` answers something truthy and returns it. A condition that throws counts as not yet true. */
export async function waitFor<T>(condition: () => T | Promise<T>, options: WaitOptions = {}): Promise<Truthy<T>> {
  const { timeoutMs = PATIENCE_MS, everyMs = 20 } = options
  const end = performance.now() + timeoutMs
  let thrown: unknown
  for (;;) {
    try {
      thrown = undefined
      const value = await condition()
      if (value) return value as Truthy<T>
    } catch (error) {
      thrown = error
    }
    if (performance.now() >= end) {
      throw new Error(`Waited ${timeoutMs} ms in vain for ${await words(options.describe, condition)}`, {
        cause: thrown,
      })
    }
    await delay(everyMs)
  }
}

/** Fails when `promise` has not settled in time. The promise itself goes on. */
export async function within<T>(
  timeoutMs: number,
  promise: Promise<T>,
  describe?: string | (() => unknown),
): Promise<T> {
  const gone = new AbortController()
  const late = delay(timeoutMs, undefined, { signal: gone.signal }).then(async () => {
    throw new Error(`Waited ${timeoutMs} ms in vain for ${await words(describe, 'a promise')}`)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    gone.abort()
    late.catch(() => undefined)
  }
}

/**
 * For the rare test that something does *not* happen: watches `condition` for the whole time and fails as soon as it is
 * truthy. Prefer waiting for an event that comes after the one that must not happen.
 */
export async function never(timeMs: number, condition: () => unknown, describe?: string): Promise<void> {
  const end = performance.now() + timeMs
  while (performance.now() < end) {
    const value = await condition()
    if (value) throw new Error(`${describe ?? 'What must not happen'} happened: ${JSON.stringify(value)}`)
    await delay(20)
  }
}

/** A promise that is opened from outside: the way for tests to wait for an event instead of sleeping. */
export interface Latch<T = void> {
  readonly promise: Promise<T>
  readonly opened: boolean
  open(value: T): void
  fail(error: unknown): void
}

export function latch<T = void>(): Latch<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  let opened = false
  promise.catch(() => undefined)
  return {
    promise,
    get opened() {
      return opened
    },
    open(value) {
      opened = true
      resolve(value)
    },
    fail(error) {
      opened = true
      reject(error)
    },
  }
}

async function words(describe: WaitOptions['describe'], otherwise: unknown): Promise<string> {
  try {
    const said = typeof describe === 'function' ? await describe() : (describe ?? String(otherwise))
    return typeof said === 'string' ? said : JSON.stringify(said)
  } catch (error) {
    return `${String(otherwise)}; what was seen instead cannot be told: ${String(error)}`
  }
}
