import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import { loadScript } from '../../src/redis/scripts.ts'
import { openStore, type Store } from '../../src/redis/store.ts'
import { createObserve } from '../../src/telemetry/queuesystem.ts'
import { test } from '../support/fixtures.ts'
import { snapshot } from '../support/redis.ts'
import { own } from '../support/scope.ts'

const storeOf = (url: string, namespace: string): Store => {
  const store = openStore({ url, namespace })
  own('store', () => store.close())
  return store
}
const payload = (queueTime: number, size = 0): string =>
  JSON.stringify({ class: 'A', args: ['x'.repeat(size)], id: 'i', prefix: '', queue_time: queueTime })
const seconds = async (redis: Redis, ago: number): Promise<number> => Number((await redis.time())[0]) - ago

test('everything that is shown of the queue system, in one call that changes nothing', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await redis.rpush(`${ns}:queue:mail`, payload(await seconds(redis, 30)), '{"class":"B"}')
  await redis.rpush(`${ns}:queue:ruby`, '{"class":"B","args":[]}')
  await redis.rpush(`${ns}:queue:unserved`, '{"class":"B","args":[]}')
  await redis.set(`${ns}:ext:paused`, '["ruby"]')
  await redis.rpush(`${ns}:failed`, '{}', '{}')
  await redis.sadd(`${ns}:failed_queues`, 'mail_failed')
  await redis.rpush(`${ns}:mail_failed`, '{}')
  const now = await seconds(redis, 0)
  await redis.zadd(`${ns}:ext:retry`, 1000 * (now - 90), 'a', 1000 * (now + 60), 'b')
  await redis.rpush(`${ns}:ext:quarantine`, 'x')
  await redis.zadd(`${ns}:delayed_queue_schedule`, now - 60, '1', now + 60, '2', now + 120, '3')
  await redis.sadd(`${ns}:workers`, 'a:1:*', 'b:2:*', 'c:3:mail')
  await redis.set(`${ns}:worker:b:2:*`, '{}')
  await redis.set(`${ns}:stat:processed`, '120')
  await redis.set(`${ns}:stat:failed`, '7')
  const before = await snapshot(redis, ns)
  const store = storeOf(redisUrl, ns)
  const observe = createObserve(store)
  await observe(['warm-up'])
  store.counts.commands = 0
  const { queues, retryOverdueMs, delayedOverdueMs, ...rest } = await observe(['mail', 'ruby', 'empty', 'mail'])
  expect(store.counts.commands).toBe(1)
  expect(rest).toEqual({
    otherJobs: undefined,
    failed: 3,
    retrying: 2,
    quarantined: 1,
    delayedTimestamps: 3,
    workers: { busy: 1, idle: 2 },
    stats: { processed: 120, failed: 7 },
  })
  expect(queues.map(({ queue, jobs, paused }) => [queue, jobs, paused])).toEqual([
    ['mail', 2, false],
    ['ruby', 1, true],
    ['empty', 0, false],
  ])
  expect(retryOverdueMs - delayedOverdueMs).toBe(30_000)
  expect(delayedOverdueMs).toBeGreaterThanOrEqual(60_000)
  expect(delayedOverdueMs).toBeLessThan(70_000)
  expect(queues[0]?.latencyMs).toBeGreaterThan(29_000)
  expect(queues[0]?.latencyMs).toBeLessThan(40_000)
  expect(queues[1]?.latencyMs).toBe(0)
  await redis.set(`${ns}:pause-all-workers`, ' True')
  expect((await observe(['mail', 'empty'])).queues.map((state) => state.paused)).toEqual([true, true])
  await redis.del(`${ns}:pause-all-workers`)
  expect(await snapshot(redis, ns)).toEqual(before)
})

test('an empty namespace, and no queues at all', async ({ redisUrl, ns }) => {
  const nothing = {
    failed: 0,
    retrying: 0,
    quarantined: 0,
    delayedTimestamps: 0,
    retryOverdueMs: 0,
    delayedOverdueMs: 0,
    workers: { busy: 0, idle: 0 },
    stats: { processed: 0, failed: 0 },
  }
  expect(await createObserve(storeOf(redisUrl, ns))([])).toEqual({ queues: [], otherJobs: undefined, ...nothing })
})

test('keys of every unexpected type count as empty', async ({ redis, redisUrl, ns }) => {
  const keys = [
    'queue:q',
    'workers',
    'failed',
    'failed_queues',
    'ext:retry',
    'ext:quarantine',
    'delayed_queue_schedule',
    'stat:processed',
    'stat:failed',
    'ext:paused',
    'pause-all-workers',
    'ext:flow:q',
  ]
  const writers: ((key: string) => Promise<unknown>)[] = [
    (key) => redis.set(key, 'text'),
    (key) => redis.hset(key, 'a', 'b'),
    (key) => redis.xadd(key, '*', 'a', 'b'),
  ]
  const observe = createObserve(storeOf(redisUrl, ns))
  for (const write of writers) {
    for (const key of keys) await redis.del(`${ns}:${key}`)
    for (const key of keys) await write(`${ns}:${key}`)
    const { queues, stats, failed, workers } = await observe(['q'])
    expect([queues, stats, failed, workers]).toEqual([
      [{ queue: 'q', jobs: 0, latencyMs: 0, paused: false }],
      { processed: 0, failed: 0 },
      0,
      { busy: 0, idle: 0 },
    ])
  }
  await redis.del(`${ns}:queue:q`)
  await redis.rpush(`${ns}:queue:q`, '{"class":"A"}')
  expect((await observe(['q'])).queues).toEqual([{ queue: 'q', jobs: 1, latencyMs: 0, paused: false }])
})

test('of 3,000 queues the 1,000 largest are shown and the others added up', async ({ redis, redisUrl, ns }) => {
  const names = Array.from({ length: 3000 }, (_, i) => `q${i}`)
  const batch = redis.pipeline()
  for (const [i, name] of names.entries())
    if (i % 2 === 0) batch.rpush(`${ns}:queue:${name}`, ...Array(1 + (i % 7)).fill('{"class":"A"}'))
  await batch.exec()
  const length = (i: number): number => (i % 2 === 0 ? 1 + (i % 7) : 0)
  const total = names.reduce((sum, _, i) => sum + length(i), 0)
  const { queues, otherJobs } = await createObserve(storeOf(redisUrl, ns))(names)
  expect(queues).toHaveLength(1000)
  expect(queues.reduce((sum, state) => sum + state.jobs, 0) + (otherJobs as number)).toBe(total)
  expect(queues.every((state) => state.jobs === length(Number(state.queue.slice(1))))).toBe(true)
  const smallest = Math.min(...queues.map((state) => state.jobs))
  const shown = new Set(queues.map((state) => state.queue))
  expect(names.some((name, i) => !shown.has(name) && length(i) > smallest)).toBe(false)
})

test('a heavy head is read once, and again when its queue has moved', async ({ redis, redisUrl, ns }) => {
  const store = storeOf(redisUrl, ns)
  const looked: unknown[] = []
  const observe = createObserve({
    keys: store.keys,
    run: async (...call) => {
      const reply = (await store.run(...call)) as unknown[]
      looked.push(reply[17])
      return reply
    },
  })
  const latency = async (): Promise<number> =>
    Math.round(((await observe(['q'])).queues[0]?.latencyMs ?? 0) / 10_000) * 10
  const first = payload(await seconds(redis, 100), 200_000)
  await redis.rpush(`${ns}:queue:q`, first, payload(await seconds(redis, 50), 10))
  await redis.set(`${ns}:ext:flow:q`, '5 5 0 100')
  expect([await latency(), await latency(), await latency()]).toEqual([100, 100, 100])
  await redis.lpop(`${ns}:queue:q`)
  await redis.set(`${ns}:ext:flow:q`, '6 5 0 100')
  expect([await latency(), await latency()]).toEqual([50, 50])
  expect(looked.map((size) => (Number(size) > 100_000 ? 'heavy' : Number(size) < 0 ? 'not read' : 'read'))).toEqual([
    'heavy',
    'not read',
    'not read',
    'read',
    'read',
  ])
})

test('heads are read up to 4 MiB in all; the rest is estimated', async ({ redis, redisUrl, ns }) => {
  const names = Array.from({ length: 8 }, (_, i) => `q${i}`)
  const time = await seconds(redis, 100)
  for (const name of names) await redis.rpush(`${ns}:queue:${name}`, payload(time, 1_000_000))
  const observe = createObserve(storeOf(redisUrl, ns))
  const known = async (): Promise<number> =>
    (await observe(names)).queues.filter((state) => state.latencyMs > 90_000).length
  expect(await known()).toBe(5)
  expect(await known()).toBe(8)
})

test('a head of many megabytes is never read, in front of whatever it stands', async ({ redis, redisUrl, ns }) => {
  const time = await seconds(redis, 100)
  const small = Array.from({ length: 1000 }, () => payload(time))
  await redis.rpush(`${ns}:queue:alone`, payload(time, 6_000_000))
  await redis.rpush(`${ns}:queue:leading`, payload(time, 6_000_000), ...small)
  await redis.rpush(`${ns}:queue:behind`, ...small, payload(time, 6_000_000))
  const { queues } = await createObserve(storeOf(redisUrl, ns))(['alone', 'leading', 'behind'])
  expect(queues.map(({ queue, latencyMs }) => [queue, latencyMs > 90_000])).toEqual([
    ['alone', false],
    ['leading', false],
    ['behind', true],
  ])
})

test('without times in payloads the age is estimated from one look to the next', async ({ redis, redisUrl, ns }) => {
  const observe = createObserve(storeOf(redisUrl, ns))
  const age = async (): Promise<number> => (await observe(['q'])).queues[0]?.latencyMs ?? -1
  await redis.rpush(`${ns}:queue:q`, '{"class":"A"}', '{"class":"A"}')
  expect(await age()).toBe(0)
  await new Promise((resolve) => setTimeout(resolve, 60))
  expect(await age()).toBeGreaterThan(50)
  await redis.lpop(`${ns}:queue:q`, 2)
  await redis.rpush(`${ns}:queue:q`, '{"class":"A"}')
  await redis.set(`${ns}:ext:flow:q`, '2 2 0 0')
  expect(await age()).toBeLessThan(50)
})

test('a namespace with a hash tag, and one that is empty', async ({ redis, redisUrl, ns }) => {
  await redis.rpush(`{${ns}}:queue:q`, '{"class":"A"}')
  expect((await createObserve(storeOf(redisUrl, `{${ns}}`))(['q'])).queues[0]?.jobs).toBe(1)
  expect(loadScript('observe').source).not.toContain('resque:')
})
