import { expect } from 'vitest'
import type { ResQueue, ResQueueError } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { startProxy } from '../support/proxy.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'
import { waitFor } from '../support/wait.ts'
import { openQueue } from './client.ts'

test('when Redis is full an enqueue is refused as a whole, and what frees or moves memory goes on', async () => {
  const server = await startRedis()
  const redis = server.client()
  const client = openQueue(server.url, 'resque')
  const entry =
    '{"failed_at":"2026/11/22 18:25:21 UTC","payload":{"class":"A","id":"f"},"exception":"E","error":"e","backtrace":[],"worker":"w","queue":"q"}'
  await client.enqueueBulk([
    { queue: 'q', class: 'A' },
    { queue: 'q', class: 'B' },
    { queue: 'drop', class: 'A' },
  ])
  await client.enqueueAt(4_000_000_000, 'q', 'Later')
  await redis.rpush('resque:failed', entry, entry, entry)
  await redis.rpush('resque:ext:quarantine', '1 1 qjunk', '1 1 qjunk')
  await redis.zadd('resque:ext:retry', 5, 'n.1 1 1 1 qE{"class":"A"}')
  await redis.config('SET', 'maxmemory', '1mb')

  const full = { code: 'REDIS_FULL', message: expect.stringContaining('Nothing was written') as string }
  const started = performance.now()
  await expect(client.enqueue('q', 'A', {}, true)).rejects.toMatchObject(full)
  await expect(
    client.enqueueBulk([
      { queue: 'new', class: 'A' },
      { queue: 'q', class: 'A' },
    ]),
  ).rejects.toMatchObject(full)
  await expect(client.enqueueAt(4_000_000_001, 'q', 'A')).rejects.toMatchObject(full)
  expect(performance.now() - started).toBeLessThan(4500)
  expect(await redis.keys('resque:job:*')).toEqual([])
  expect((await redis.smembers('resque:queues')).sort()).toEqual(['drop', 'q'])

  expect(await client.failed.retry({ index: 0 })).toEqual({ moved: 1, skipped: 0 })
  expect(await client.failed.remove({ index: 0 })).toBe(1)
  expect(await client.failed.clear()).toBe(1)
  expect(await client.quarantine.release({ index: 0 })).toEqual({ moved: 1, skipped: 0 })
  expect(await client.quarantine.remove({ all: true })).toBe(1)
  expect(await client.retries.remove({ all: true })).toBe(1)
  expect(await client.delayed.remove({ all: true })).toBe(1)
  expect(await redis.lrange('resque:queue:q', 2, -1)).toEqual(['{"class":"A","id":"f"}', 'junk'])
  expect(await client.queues.dequeue('q', ['B'])).toBe(1)
  expect(await client.queues.pop('q')).toMatch(/^\{"class":"A"/)
  expect(await client.queues.remove('drop')).toBe(1)

  await redis.config('SET', 'maxmemory', '0')
  await client.enqueue('q', 'A')
})

/** A primary and a replica that follows it. */
async function startPair(): Promise<{ primary: RedisServer; replica: RedisServer }> {
  const primary = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] })
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(primary.port)] })
  await waitFor(async () => (await replica.client().info('replication')).includes('master_link_status:up'))
  // Until the primary knows it, too, its replica confirms nothing.
  await waitFor(async () => (await primary.client().info('replication')).includes('state=online'))
  return { primary, replica }
}

test('with replication an enqueue resolves when the replicas have the job, and is uncertain while they have not', async () => {
  const { primary, replica } = await startPair()
  const [client, hasty] = [4000, 300].map((timeoutMs) =>
    openQueue(primary.url, 'resque', { replication: { replicas: 1, timeoutMs } }),
  ) as [ResQueue, ResQueue]
  await client.enqueue('q', 'A')
  expect(await replica.client().llen('resque:queue:q')).toBe(1)
  replica.pause()
  await expect(hasty.enqueue('q', 'A', {}, { id: 'mine' })).rejects.toMatchObject({
    code: 'ENQUEUE_UNCERTAIN',
    data: { id: 'mine' },
    message: expect.stringContaining('0 of 1 replicas') as string,
  })
  replica.resume()
  await client.enqueue('q', 'A')
  expect(await replica.client().llen('resque:queue:q')).toBe(3)
})

test('with replication an enqueue that is sent again on another connection waits for the replicas all the same', async () => {
  const { primary, replica } = await startPair()
  const proxy = await startProxy({ port: primary.port })
  const client = openQueue(proxy.url, 'resque', { replication: { replicas: 1, timeoutMs: 2000 } })
  await client.enqueue('q', 'A')
  replica.pause()
  proxy.on('EVALSHA', { kind: 'drop-reply' })
  await expect(client.enqueue('q', 'A')).rejects.toMatchObject({
    code: 'ENQUEUE_UNCERTAIN',
    message: expect.stringContaining('0 of 1 replicas') as string,
  })
  expect(await primary.client().llen('resque:queue:q')).toBe(2)
})

test('replicas that are asked on a new connection have confirmed nothing, and are not said to have', async () => {
  const { primary } = await startPair()
  const proxy = await startProxy({ port: primary.port })
  const client = openQueue(proxy.url, 'resque', { replication: { replicas: 1 } })
  proxy.on('WAIT', { kind: 'drop-reply' })
  await expect(client.enqueue('q', 'A')).rejects.toMatchObject({
    code: 'ENQUEUE_UNCERTAIN',
    message: expect.stringContaining('the connection was lost before its replicas confirmed it') as string,
  })
})

test('a job that was written is uncertain, not refused or unsent, when its replicas cannot be asked', async () => {
  const server = await startRedis()
  const redis = server.client()
  const replication = { replicas: 1, timeoutMs: 4000 }
  await redis.call('ACL', 'SETUSER', 'limited', 'on', '>pw', '~*', '+@all', '-wait')
  const limited = openQueue(server.url.replace('//', '//limited:pw@'), 'resque', { replication })
  await expect(limited.enqueue('q', 'A', {}, { id: 'one' })).rejects.toMatchObject({
    code: 'ENQUEUE_UNCERTAIN',
    data: { id: 'one' },
    message: expect.stringContaining('resqueue doctor --acl') as string,
  })
  const patient = openQueue(server.url, 'resque', { replication })
  const fate = patient.enqueue('q', 'A', {}, { id: 'two' }).catch((error: ResQueueError) => error)
  await waitFor(async () => (await redis.llen('resque:queue:q')) === 2)
  await server.stop()
  expect(await fate).toMatchObject({ code: 'ENQUEUE_UNCERTAIN', data: { id: 'two' } })
})

test('a read-only replica refuses an enqueue, and leaves nobody in doubt, however many ask at once', async () => {
  const primary = await startRedis()
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', String(primary.port)] })
  const client = openQueue(replica.url, 'resque')
  await client.queues.list() // connected: from here on two calls may be under way at once
  const calls = Array.from({ length: 500 }, () => client.enqueue('q', 'A'))
  const fates = await Promise.all(calls.map((call) => call.catch((error: ResQueueError) => error.code)))
  expect(fates[0]).toBe('REDIS_REFUSED')
  expect(fates).not.toContain('ENQUEUE_UNCERTAIN')
})
