import { expect } from 'vitest'
import { exactBytes, sweep, type Acted, type Entry } from '../../src/queue/entries.ts'
import { test } from '../support/fixtures.ts'
import { openTestLane } from './client.ts'

const NOTHING = { removed: new Set<number>(), missing: 0 }

test('a sweep passes over nothing when somebody else removes what it has seen', async ({ redis, redisUrl, ns }) => {
  const { store } = openTestLane(redisUrl, ns)
  const key = `${ns}:failed`
  await redis.rpush(key, ...Array.from({ length: 5000 }, (_, i) => `${i}`))
  const seen = new Set<string>()
  let calls = 0
  await sweep(store, key, async (entries) => {
    for (const { text } of entries) seen.add(text)
    calls++
    // Shifts what was not seen yet into places that were.
    if (calls <= 3) await redis.lpop(key, 150)
    return NOTHING
  })
  expect(seen.size).toBe(5000)
})

test('a sweep looks again where entries were missing, and does not do so for ever', async ({ redis, redisUrl, ns }) => {
  const { store } = openTestLane(redisUrl, ns)
  const key = `${ns}:failed`
  await redis.rpush(key, ...Array.from({ length: 1200 }, (_, i) => `${i}`))
  const starts: number[] = []
  await sweep(store, key, async (entries: readonly Entry[]) => {
    starts.push(entries[0]?.index ?? -1)
    return { removed: new Set(), missing: starts.length === 2 ? 5 : 0 }
  })
  expect(starts).toEqual([0, 500, 0, 1000])
  let calls = 0
  const missed = async (entries: readonly Entry[]): Promise<Acted> => {
    calls++
    return { removed: new Set(), missing: entries.some(({ index }) => index === 20) ? 1 : 0 }
  }
  await sweep(store, key, missed)
  expect(calls).toBeLessThan(40)
  // Of large ones each call looks at a few, and most of these miss nothing.
  calls = 0
  await redis.del(key)
  await redis.rpush(key, ...Array.from({ length: 30 }, () => 'x'.repeat(1_000_000)))
  await sweep(store, key, missed)
  expect(calls).toBeLessThan(400)
})

test('new entries are not met, removed places shift the walk, and enough is enough', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const { store } = openTestLane(redisUrl, ns)
  const key = `${ns}:failed`
  await redis.rpush(key, ...Array.from({ length: 600 }, (_, i) => `${i}`))
  const seen: string[] = []
  await sweep(store, key, async (entries) => {
    seen.push(...entries.map(({ text }) => text))
    if (seen.length > 500) return NOTHING
    await redis.lpop(key, entries.length)
    await redis.rpush(key, 'new')
    return { removed: new Set(entries.map(({ index }) => index)), missing: 0 }
  })
  expect(seen).toEqual(Array.from({ length: 600 }, (_, i) => `${i}`))
  let calls = 0
  await sweep(store, key, async () => {
    calls++
    return { removed: new Set(), missing: 0, enough: true }
  })
  expect(calls).toBe(1)
})

test('a sweep asks for as many entries as their size allows', async ({ redis, redisUrl, ns }) => {
  const { store } = openTestLane(redisUrl, ns)
  const key = `${ns}:failed`
  const sizesOf = async (text: string, count: number): Promise<readonly number[]> => {
    await redis.del(key)
    await redis.rpush(key, ...Array.from({ length: count }, () => text))
    const sizes: number[] = []
    await sweep(store, key, async (entries) => {
      sizes.push(entries.length)
      return NOTHING
    })
    return sizes
  }
  expect(await sizesOf('small', 3000)).toEqual([500, 1000, 1000, 500])
  const sizes = await sizesOf('x'.repeat(400_000), 12)
  expect(Math.max(...sizes)).toBeLessThanOrEqual(5)
  expect(sizes.reduce((sum, size) => sum + size)).toBe(12)
})

test('bytes that are not UTF-8 are had exactly, unless the entry has gone', async ({ redis, redisUrl, ns }) => {
  const { store } = openTestLane(redisUrl, ns)
  const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  await redis.rpush(`${ns}:failed`, all, 'é\ufffd')
  const [text = ''] = await redis.lrange(`${ns}:failed`, 0, 0)
  expect((await exactBytes(store, 'failed', { index: 0, text }))?.equals(all)).toBe(true)
  expect((await exactBytes(store, 'failed', { index: 1, text: 'é\ufffd' }))?.toString()).toBe('é\ufffd')
  expect(await exactBytes(store, 'failed', { index: 1, text })).toBeUndefined()
  expect(await exactBytes(store, 'failed', { index: 2, text })).toBeUndefined()
})
