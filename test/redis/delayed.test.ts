import { expect } from 'vitest'
import { promoteDelayed } from '../../src/queue/promote.ts'
import { openStore } from '../../src/redis/store.ts'
import { test } from '../support/fixtures.ts'
import { startProxy } from '../support/proxy.ts'
import { snapshot, startRedis } from '../support/redis.ts'
import { own } from '../support/scope.ts'
import { load, readGolden } from '../wire/golden.ts'
import { everyScriptTwice, openQueue } from './client.ts'

const AT = 4_000_000_000
const portOf = (url: string): { port: number } => ({ port: Number(new URL(url).port) })

test('what php-resque, Ruby and node-resque filed is listed and removed by value, with all its traces', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  await load(redis, ns, Object.values(readGolden('06-delayed.txt'))[0] ?? [])
  await redis.del(`${ns}:connection_test_key`)
  expect(await client.delayed.scheduleSize()).toBe(2)
  expect(await client.delayed.timestampSize(1795376418)).toBe(2)
  expect(await client.delayed.timestamps()).toMatchObject([
    { second: 1795376418, size: 2 },
    { second: 1795376419, size: 1 },
  ])
  expect(await client.delayed.timestamps({ limit: 0 })).toEqual([])
  expect(
    (await client.delayed.list()).map(({ second, queue, payload }) => [second, queue, payload?.class, payload?.args]),
  ).toEqual([
    [1795376418, 'default', 'OkJob', [{ p: '/x é' }]],
    [1795376418, 'default', 'OkJob', [{ p: '/x é' }]],
    [1795376419, 'default', 'OkJob', [{ p: '/x é' }]],
  ])
  expect(await client.delayed.remove({ queue: 'default', class: 'OkJob', args: [{ p: 'other' }] })).toBe(0)
  expect(
    await client.delayed.remove({ queue: 'default', class: 'OkJob', args: [{ p: '/x é' }] }, { dryRun: true }),
  ).toBe(3)
  expect(await client.delayed.remove({ at: 1795376419, queue: 'default', class: 'OkJob', args: [{ p: '/x é' }] })).toBe(
    1,
  )
  expect(await client.delayed.scheduleSize()).toBe(1)
  expect(await client.delayed.remove({ class: 'OkJob' })).toBe(2)
  expect(Object.keys(await snapshot(redis, ns)).filter((key) => !key.startsWith('ext:client:'))).toEqual([])
})

test('items whose bytes are no UTF-8 are removed with their traces', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const odd = (byte: number): Buffer =>
    Buffer.concat([Buffer.from('{"class":"Odd","queue":"q","args":["'), Buffer.from([byte]), Buffer.from('"]}')])
  for (const item of [odd(0xff), odd(0xfe), odd(0xff)]) {
    await redis.rpush(`${ns}:delayed:${AT}`, item)
    await redis.sadd(Buffer.concat([Buffer.from(`${ns}:timestamps:`), item]), `delayed:${AT}`)
  }
  await redis.zadd(`${ns}:delayed_queue_schedule`, AT, AT)
  expect(await client.delayed.remove({ class: 'Odd' }, { dryRun: true })).toBe(3)
  expect(await client.delayed.remove({ class: 'Odd' })).toBe(3)
  expect(await redis.keys(`${ns}:[dt]*`)).toEqual([])
})

test('foreign keys that look like delayed lists are left alone', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await redis.hset(`${ns}:delayed:last_enqueued_at`, 'cron', '2026-11-22 18:37:26 +0000')
  await client.enqueueAt(AT, 'q', 'A')
  expect(await client.delayed.remove({ all: true })).toBe(1)
  expect(await redis.hlen(`${ns}:delayed:last_enqueued_at`)).toBe(1)
})

test('many at many seconds: listed in order by pages, removed by class, id and limit', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const ids = await client.enqueueBulk(
    Array.from({ length: 1300 }, (_, i) => ({
      queue: 'q',
      class: i % 2 ? 'Odd' : 'Even',
      args: [i],
      at: AT + Math.floor(i / 10),
    })),
  )
  await client.enqueueBulk(
    Array.from({ length: 1200 }, (_, i) => ({ queue: 'q', class: 'Same', args: [i], at: AT + 500 })),
  )
  expect(await client.delayed.scheduleSize()).toBe(131)
  expect((await client.delayed.list({ offset: 95, limit: 10 })).map(({ payload }) => payload?.args[0])).toEqual([
    95, 96, 97, 98, 99, 100, 101, 102, 103, 104,
  ])
  expect(await client.delayed.remove({ id: String(ids[7]) })).toBe(1)
  expect(await client.delayed.remove({ class: 'Odd' }, { limit: 9 })).toBe(9)
  expect(await client.delayed.remove({ class: 'Odd' })).toBe(640)
  expect(await client.delayed.remove({ class: 'Even' })).toBe(650)
  expect(await client.delayed.remove({ class: 'Same' })).toBe(1200)
  expect(Object.keys(await snapshot(redis, ns)).filter((key) => !key.startsWith('ext:client:'))).toEqual([])
  await expect(client.delayed.remove({})).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('of equal items no more go than were asked for, and the rest is found by their bytes', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const item = '{"class":"A","args":[],"queue":"q"}'
  const other = '{"class":"A","args":[1],"queue":"q"}'
  await redis.rpush(`${ns}:delayed:${AT}`, item, other, item, item)
  await redis.zadd(`${ns}:delayed_queue_schedule`, AT, AT)
  for (const raw of [item, other]) await redis.sadd(`${ns}:timestamps:${raw}`, `delayed:${AT}`)
  expect(await client.delayed.remove({ class: 'A' }, { limit: 1, dryRun: true })).toBe(1)
  expect(await client.delayed.remove({ class: 'A' }, { limit: 1 })).toBe(1)
  expect(await redis.lrange(`${ns}:delayed:${AT}`, 0, -1)).toEqual([other, item, item])
  expect(await redis.smembers(`${ns}:timestamps:${item}`)).toEqual([`delayed:${AT}`])
  expect(await client.delayed.remove({ class: 'A' }, { limit: 2 })).toBe(2)
  expect(await redis.lrange(`${ns}:delayed:${AT}`, 0, -1)).toEqual([item])
  expect(await redis.exists(`${ns}:timestamps:${other}`)).toBe(0)
  expect(await client.delayed.remove({ class: 'A' }, { limit: 2 })).toBe(1)
  expect(Object.keys(await snapshot(redis, ns)).filter((key) => !key.startsWith('ext:client:'))).toEqual([])

  await redis.rpush(`${ns}:delayed:${AT}`, ...Array.from({ length: 1700 }, () => item))
  await redis.zadd(`${ns}:delayed_queue_schedule`, AT, AT)
  await redis.sadd(`${ns}:timestamps:${item}`, `delayed:${AT}`)
  expect(await client.delayed.remove({ class: 'A' }, { limit: 1100 })).toBe(1100)
  expect(await client.delayed.timestampSize(AT)).toBe(600)
  expect(await client.delayed.remove({ class: 'A' })).toBe(600)
  expect(await redis.exists(`${ns}:timestamps:${item}`, `${ns}:delayed_queue_schedule`)).toBe(0)
})

test('where many items share a second, few are removed in one call, and marks stay for equal ones far behind', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const proxy = await startProxy(portOf(redisUrl))
  const calls: number[] = []
  proxy.on(
    /^EVALSHA /,
    ({ args }) => {
      calls.push(args.slice(8).filter((arg) => /^[0-9a-f]{40}$/.test(arg.toString())).length)
      return undefined
    },
    Infinity,
  )
  const client = openQueue(proxy.url, ns)
  const item = (i: number): string => `{"class":"A","args":[${i}],"queue":"q"}`
  const items = Array.from({ length: 19_990 }, (_, i) => item(i))
  // The first ten stand once more behind all others.
  await redis.rpush(`${ns}:delayed:${AT}`, ...items, ...items.slice(0, 10))
  await redis.zadd(`${ns}:delayed_queue_schedule`, AT, AT)
  const mark = (raw: string): string => `${ns}:timestamps:${raw}`
  const marked = items.slice(0, 2000)
  for (const raw of marked) await redis.sadd(mark(raw), `delayed:${AT}`)

  expect(await client.delayed.remove({ all: true }, { limit: 600 })).toBe(600)
  expect(calls.reduce((sum, n) => sum + n)).toBe(600)
  expect(Math.max(...calls)).toBeLessThanOrEqual(103)
  expect(await redis.exists(...marked.slice(0, 10).map(mark))).toBe(10)
  expect(await redis.exists(...marked.slice(10, 600).map(mark))).toBe(0)
  expect(await redis.exists(...marked.slice(600).map(mark))).toBe(1400)
  // What is far behind goes in the same way.
  expect(await client.delayed.remove({ class: 'A', args: [5] })).toBe(1)
  expect(await redis.exists(mark(item(5)))).toBe(0)
  expect(await client.delayed.timestampSize(AT)).toBe(19_399)
})

test('what is filed into a second while others are removed from it hides none of them', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const proxy = await startProxy(portOf(redisUrl))
  const key = `${ns}:delayed:${AT}`
  const item = (i: number): string => `{"class":"A","args":[${i},"${'x'.repeat(300_000)}"],"queue":"q"}`
  await redis.rpush(key, ...Array.from({ length: 15 }, (_, i) => item(i)))
  await redis.zadd(`${ns}:delayed_queue_schedule`, AT, AT)
  const late = '{"class":"B","args":[],"queue":"q"}'
  proxy.on(/^EVALSHA /, () => ({ kind: 'hold-request', until: redis.rpush(key, late, late, late) }))
  expect(await openQueue(proxy.url, ns).delayed.remove({ class: 'A' })).toBe(15)
  expect(await redis.lrange(key, 0, -1)).toEqual([late, late, late])
})

test('all that fit of a second go in one walk through it, however many they are', async ({ redis, redisUrl, ns }) => {
  const proxy = await startProxy(portOf(redisUrl))
  let calls = 0
  const count = (): undefined => void calls++
  proxy.on(/^EVALSHA /, count, Infinity)
  const client = openQueue(proxy.url, ns)
  const item = (i: number): string => `{"class":"${i % 4 === 0 ? 'A' : 'B'}","args":[${i % 12_000}],"queue":"q"}`
  const items = Array.from({ length: 20_000 }, (_, i) => item(i))
  await redis.rpush(`${ns}:delayed:${AT}`, ...items)
  await redis.zadd(`${ns}:delayed_queue_schedule`, AT, AT)
  const marking = redis.pipeline()
  for (const raw of items) marking.sadd(`${ns}:timestamps:${raw}`, `delayed:${AT}`)
  await marking.exec()

  expect(await client.delayed.remove({ class: 'A' })).toBe(5000)
  expect(calls).toBeLessThanOrEqual(41)
  expect(await redis.lrange(`${ns}:delayed:${AT}`, 0, -1)).toEqual(items.filter((raw) => raw.includes('"B"')))
  expect(
    await redis.exists(...items.filter((raw) => raw.includes('"A"')).map((raw) => `${ns}:timestamps:${raw}`)),
  ).toBe(0)
  calls = 0
  expect(await client.delayed.remove({ all: true })).toBe(15_000)
  expect(calls).toBeLessThanOrEqual(31)
  expect(Object.keys(await snapshot(redis, ns)).filter((key) => !key.startsWith('ext:client:'))).toEqual([])
})

test('a removal sent twice answers as the first, and other types are refused', async ({ redis, redisUrl, ns }) => {
  const proxy = await startProxy(portOf(redisUrl))
  everyScriptTwice(proxy)
  const client = openQueue(proxy.url, ns)
  await client.enqueueAt(AT, 'q', 'A')
  expect(await client.delayed.remove({ class: 'A' })).toBe(1)
  await redis.set(`${ns}:delayed:${AT}`, 'text')
  await redis.zadd(`${ns}:delayed_queue_schedule`, AT, AT)
  await expect(client.delayed.remove({ all: true })).rejects.toMatchObject({ code: 'REDIS_REFUSED' })
})

test('a job whose time has passed waits from when it was enqueued', async ({ redis, redisUrl, ns }) => {
  const before = Date.now() / 1000
  await openQueue(redisUrl, ns).enqueueAt(1_700_000_000, 'mail', 'A')
  const [item = ''] = await redis.lrange(`${ns}:delayed:1700000000`, 0, -1)
  const { queue_time: time } = JSON.parse(item) as { queue_time: number }
  expect(time).toBeGreaterThanOrEqual(before)
  expect(time).toBeLessThanOrEqual(Date.now() / 1000)
})

/** Namespaces of `Redis::Namespace`, some nested, and the lock that resque-scheduler was seen to take in them. */
const LOCKS = [
  ['resque', 'resque:resque:resque_scheduler_master_lock'],
  ['app:jobs', 'app:jobs:app:jobs:resque_scheduler_master_lock'],
  ['myapp:resque', 'myapp:resque:resque:resque_scheduler_master_lock'],
  ['a:b:c', 'a:b:c:c:resque_scheduler_master_lock'],
  ['resque::', 'resque::resque::resque_scheduler_master_lock'],
  ['', ':resque_scheduler_master_lock'],
] as const

test('the lock of resque-scheduler is seen in every namespace, nested ones included', async () => {
  const server = await startRedis()
  const redis = server.client()
  for (const [namespace, lock] of LOCKS) {
    const store = openStore({ url: server.url, namespace })
    own('store', () => store.close())
    const { prefix, schedulerLocks } = store.keys
    await redis.rpush(`${prefix}delayed:20`, '{"class":"A","args":[],"queue":"q"}')
    await redis.zadd(`${prefix}delayed_queue_schedule`, 20, '20')
    await redis.set(lock, 'vm:1', 'EX', 180)
    expect(await promoteDelayed(store)).toEqual({ kind: 'locked', by: lock })
    expect(schedulerLocks).toContainEqual({ program: 'resque-scheduler', key: lock })
    await redis.del(lock)
    expect(await promoteDelayed(store)).toMatchObject({ kind: 'moved', items: [{ queue: 'q' }] })
  }
})
