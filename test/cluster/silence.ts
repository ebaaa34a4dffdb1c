import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { own } from '../support/scope.ts'

const LOOK_EVERY_MS = 20

/** The longest time for which a worker did not renew its lease, until it was released at the latest. */
export interface Silence {
  /** As far as its lease was seen to be there. */
  leastMs(): number
  /** Until its lease was seen to be gone. */
  mostMs(): number
}

/** Watches the lease of the worker in a pod from now on, by the clock of Redis. */
export async function watchSilence(redis: Redis, ns: string, pod: string): Promise<Silence> {
  const registrations = Object.entries(await redis.hgetall(`${ns}:ext:processes`))
  const [nonce, registration] = registrations.find(([, one]) => one.includes(pod)) as [string, string]
  const { lease_ms: lease } = JSON.parse(registration) as { lease_ms: number }
  let renewedAt = 0
  let least = 0
  let most = 0
  const look = async (): Promise<void> => {
    const [left, [seconds, micros]] = await Promise.all([redis.pttl(`${ns}:ext:lease:${nonce}`), redis.time()])
    const now = Number(seconds) * 1000 + Number(micros) / 1000
    // What a lease has left says when it was renewed. One that is gone was released.
    if (left >= 0) {
      renewedAt = now - (lease - left)
      least = Math.max(least, lease - left)
    } else over.abort()
    most = Math.max(most, now - renewedAt)
  }
  const over = new AbortController()
  await look()
  if (renewedAt === 0) throw new Error('Its lease has lapsed already')
  const watching = (async () => {
    while (!over.signal.aborted) {
      await delay(LOOK_EVERY_MS)
      await look()
    }
  })()
  watching.catch(() => undefined) // told at the end
  own('watch of a lease', () => {
    over.abort()
    return watching
  })
  return { leastMs: () => least, mostMs: () => most }
}
