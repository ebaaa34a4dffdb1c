import { expect } from 'vitest'
import { removeQueue } from '../../src/queue/queues.ts'
import { markRunning } from '../../src/queue/status.ts'
import { openStore } from '../../src/redis/store.ts'
import { test } from '../support/fixtures.ts'
import { modelProcess } from '../support/process-model.ts'
import { own } from '../support/scope.ts'
import { load, readGolden } from '../wire/golden.ts'
import { openQueue, openTestLane } from './client.ts'

test('statuses as php-resque and redisQueue write them are read', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await load(redis, ns, [
    ...(readGolden('01-enqueue.txt')['enqueue by php'] ?? []),
    ...(readGolden('02-php-working-failed.txt')['after'] ?? []),
    ...(Object.values(readGolden('05-redisqueue-working-failed.txt'))[0] ?? []),
  ])
  const seconds = (n: number): Date => new Date(n * 1000)
  expect(await client.status('f0367d1533dd642ba24e086424e07a69').get()).toEqual({
    code: 1,
    state: 'waiting',
    updated: seconds(1795372786),
    started: seconds(1795372786),
    result: null,
  })
  expect(await client.status('b5abb91d0a78a71b1f1b87222a9a86b9', 'pfx').isTracking()).toBe(true)
  expect(await client.status('b5abb91d0a78a71b1f1b87222a9a86b9').isTracking()).toBe(false)
  expect(await client.status('2848d08edeca87e26f959b90d32a4a33').get()).toMatchObject({
    state: 'complete',
    result: false,
  })
  expect(await client.status('affcfdf08225987beff418dba4fa0392').get()).toMatchObject({ state: 'failed' })
  expect(await client.status('187b664c263a17bebfb18cc91ce50326').get()).toEqual({
    code: 2,
    state: 'running',
    updated: seconds(1795372811),
    started: undefined,
    result: null,
  })
})

test('a status lives: created, updated with its start kept, terminal ones for a day, stopped', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const key = `${ns}:job:p_j1:status`
  const status = client.status('j1', 'p')
  await status.create()
  await redis.set(key, '{"status":1,"updated":5,"started":5,"result":null}')
  expect(await status.update('running')).toBe(true)
  expect(await redis.get(key)).toMatch(/^\{"status":2,"updated":\d{10},"started":5,"result":null\}$/)
  expect(await redis.ttl(key)).toBe(-1)
  expect(await status.update('complete', { rows: [1] })).toBe(true)
  expect(await redis.get(key)).toMatch(/^\{"status":4,"updated":\d{10},"started":5,"result":\{"rows":\[1\]\}\}$/)
  expect(await redis.ttl(key)).toBeGreaterThan(86_000)
  expect(await status.result()).toEqual({ rows: [1] })
  expect(await status.status()).toBe(4)
  expect(await status.started()).toEqual(new Date(5000))
  expect((await status.updated()) instanceof Date).toBe(true)
  expect(await status.update('failed')).toBe(true)
  expect(await redis.ttl(key)).toBeGreaterThan(86_000)
  expect(await status.update('nonsense' as never)).toBe(false)
  expect(await status.status()).toBe(3)
  await status.stop()
  expect(await redis.exists(key)).toBe(0)
})

test('what was seen as not tracked is not asked for again', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const status = client.status('j1')
  expect(await status.get()).toBe(false)
  expect(await status.update('running')).toBe(false)
  await redis.set(`${ns}:job:j1:status`, '{"status":1,"updated":5,"started":5,"result":null}')
  expect(await status.isTracking()).toBe(false)
  expect([await status.status(), await status.updated(), await status.started(), await status.result()]).toEqual([
    false,
    false,
    false,
    false,
  ])
  expect(await client.status('j1').isTracking()).toBe(true)
})

test.for(['', 'text', '[]', '{}', '{"status":9}', '{"status":"x"}', 'null'])(
  'a value %j is no status',
  async (value, { redis, redisUrl, ns }) => {
    await redis.set(`${ns}:job:j1:status`, value)
    expect(await openQueue(redisUrl, ns).status('j1').get()).toBe(false)
  },
)

test('a job that has ended is not marked as running by a late call', async ({ redis, redisUrl, ns }) => {
  const store = openStore({ url: redisUrl, namespace: ns })
  own('store', () => store.close())
  const key = `${ns}:job:x:status`
  const codes = []
  for (const code of [1, 2, 3, 4, 10]) {
    await redis.set(key, `{"status":${code},"updated":1,"started":1,"result":null}`, 'EX', 100)
    await markRunning(store, 'x')
    codes.push((JSON.parse((await redis.get(key)) ?? '') as { status: number }).status)
  }
  expect(codes).toEqual([2, 2, 3, 4, 10])
  await redis.del(key)
  await markRunning(store, 'x')
  expect(await redis.exists(key)).toBe(0)
})

test('the status of a tracked job that is removed expires, those of others stay', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const ttl = (id: string, prefix = ''): Promise<number> => redis.ttl(`${ns}:job:${prefix}${id}:status`)
  const track = true
  const stays = String(await client.enqueue('q', 'Stay', {}, { track }))
  const goes = String(await client.enqueue('q', 'Go', {}, { track, prefix: 'p' }))
  const later = String(await client.enqueueAt(4_000_000_000, 'q', 'Stay', {}, { track }))
  const never = String(await client.enqueueAt(4_000_000_000, 'q', 'Go', {}, { track }))
  expect(await client.queues.dequeue('q', ['Go'])).toBe(1)
  expect(await client.delayed.remove({ class: 'Go' })).toBe(1)
  for (const left of [await ttl(goes, 'p_'), await ttl(never)]) expect(left).toBeGreaterThan(86_000)
  expect([await ttl(stays), await ttl(later)]).toEqual([-1, -1])
  expect(await client.status(never).get()).toMatchObject({ state: 'waiting' })
})

test('statuses expire of all jobs that go with their queue, however many and whatever stands between them', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const track = true
  const stays = String(await client.enqueue('other', 'A', {}, { track }))
  for (const remove of [() => client.queues.dequeue('q'), () => client.queues.remove('q')]) {
    const first = String(await client.enqueue('q', 'A', {}, { track }))
    await client.enqueueBulk(Array.from({ length: 2490 }, () => ({ queue: 'q', class: 'A' })))
    await redis.rpush(`${ns}:queue:q`, 'junk', '{"class":"A","args":[]}', `{"class":"A","args":["${'x'.repeat(2e6)}"]}`)
    const last = String(await client.enqueue('q', 'A', {}, { track, prefix: 'p' }))
    expect(await remove()).toBe(2495)
    for (const name of [first, `p_${last}`]) {
      expect(await redis.ttl(`${ns}:job:${name}:status`)).toBeGreaterThan(86_000)
    }
    expect(await redis.keys(`${ns}:ext:removed:*`)).toEqual([])
  }
  expect(await redis.ttl(`${ns}:job:${stays}:status`)).toBe(-1)
})

test('a removal that is cut off leaves no job behind', async ({ redis, redisUrl, ns }) => {
  await redis.rpush(`${ns}:queue:q`, '{"class":"A","args":[]}', '{"class":"A","args":[]}')
  expect(await removeQueue(openTestLane(redisUrl, ns), 'q', { signal: AbortSignal.abort() })).toBe(2)
  expect(await redis.keys(`${ns}:ext:removed:*`)).toEqual([])
  expect(await redis.exists(`${ns}:queue:q`)).toBe(0)
})

const DEEP = `${'['.repeat(1200)}"]}{\\"",${'['.repeat(1200)}${']'.repeat(2400)}`

test('a job that is nested too deeply for Redis to read has the status of the id that is its own', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const set = (name: string): unknown =>
    redis.set(`${ns}:job:${name}:status`, '{"status":1,"updated":1,"started":1,"result":null}')
  const code = async (name: string): Promise<string | undefined> =>
    /"status":(\d)/.exec((await redis.get(`${ns}:job:${name}:status`)) ?? '')?.[1]
  const jobs = [
    `{"class":"A","args":[${DEEP}],"id":"plain","prefix":"","queue_time":1}`,
    `{"class":"A","args":[${DEEP}],"id":"one","prefix":"p"}`,
    `{"class":"A","args":[${DEEP}],"id":"é 1","x":{"k":"]}\\"","id":"inner"}}`,
    `{"class":"A","args":[${DEEP},{"n":1,"id":"argument"}]}`,
    `{"class":"A","prefix":"q","args":[${DEEP}],"id":"apart"}`,
  ]
  const [theirs, others] = [
    ['plain', 'p_one', 'é 1'],
    ['inner', 'argument', 'apart', 'one'],
  ] as const
  for (const name of [...theirs, ...others]) await set(name)
  await redis.rpush(`${ns}:queue:q`, ...jobs)
  const codes = async (names: readonly string[]): Promise<unknown> => Promise.all(names.map(code))

  const first = modelProcess(redisUrl, ns, { slots: 5 })
  await first.register()
  expect(await first.reserve(0, 1, 2, 3, 4)).toHaveLength(5)
  // As its worker writes it of an id that the turn did not take for the job's.
  await markRunning(first.store, 'é 1')
  expect(await codes(theirs)).toEqual(['2', '2', '2'])
  await first.release()
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(jobs)
  expect(await codes(theirs)).toEqual(['1', '1', '1'])

  const second = modelProcess(redisUrl, ns, { slots: 5, maxRecoveries: 0 })
  await second.register()
  await second.reserve(0, 1, 2, 3, 4)
  await redis.del(`${ns}:ext:lease:${second.registration.nonce}`)
  expect(await second.release({ kind: 'lease' })).toMatchObject({ kind: 'released', quarantined: 5 })
  expect(await codes(theirs)).toEqual(['3', '3', '3'])
  expect(await codes(others)).toEqual(['1', '1', '1', '1'])
})
