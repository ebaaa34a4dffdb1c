import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { waitFor } from '../support/wait.ts'
import { familyViolations } from './family.ts'
import { startWireWorker, waitForRest } from './worker.ts'

/** What the dashboard of Ruby Resque sends for its buttons: Retry, Remove, Clear, and Remove Queue. */
async function retry(redis: Redis, ns: string, index: number, retriedAt = '2026/11/22 18:25:21 UTC'): Promise<void> {
  const item = JSON.parse((await redis.lindex(`${ns}:failed`, index)) ?? 'null') as {
    queue: string
    payload: { class: string; args: unknown[] }
  }
  await redis.lset(`${ns}:failed`, index, JSON.stringify({ ...item, retried_at: retriedAt }))
  const { class: name, args } = item.payload
  await redis.sadd(`${ns}:queues`, item.queue)
  await redis.rpush(`${ns}:queue:${item.queue}`, JSON.stringify({ class: name, args }))
}

async function remove(redis: Redis, ns: string, index: number, between: () => Promise<void>): Promise<void> {
  await redis.lset(`${ns}:failed`, index, '')
  await between()
  await redis.lrem(`${ns}:failed`, 1, '')
}

async function removeQueue(redis: Redis, ns: string, queue: string): Promise<void> {
  await redis.pipeline().srem(`${ns}:queues`, queue).unlink(`${ns}:queue:${queue}`).exec()
}

test('a failure of ours that the dashboard retries runs again, and is listed with the time of its retry', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns)
  await client.enqueue({ queue: 'default', class: 'ThrowJob', args: [{ p: '/x é' }, 2] })
  await waitFor(async () => (await client.failed.count()) === 1)
  await retry(redis, ns, 0)
  await worker.sees(2)
  await waitForRest(redis, ns)
  expect(worker.seen.map(({ args }) => args)).toEqual([
    [{ p: '/x é' }, 2],
    [{ p: '/x é' }, 2],
  ])
  await retry(redis, ns, 1, '2026/11/22 18:25:22')
  await worker.sees(3)
  await waitForRest(redis, ns)
  const { entries } = await client.failed.list({ order: 'oldest' })
  expect(entries.map((one) => one.retriedAt?.toISOString())).toEqual([
    '2026-11-22T18:25:21.000Z',
    '2026-11-22T18:25:22.000Z',
    undefined,
  ])
  expect(await familyViolations(redis, ns)).toEqual([])
})

test('while the dashboard removes a failure, the others are listed and retried, and no other goes with it', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns)
  for (const n of [0, 1, 2]) await client.enqueue('default', 'ThrowJob', { n })
  await waitFor(async () => (await client.failed.count()) === 3)
  await worker.stop()
  await remove(redis, ns, 1, async () => {
    const { entries } = await client.failed.list({ order: 'oldest' })
    expect(entries.map((one) => one.payload?.args[0])).toEqual([{ n: 0 }, undefined, { n: 2 }])
    expect(await client.failed.retry({ all: true })).toEqual({ moved: 2, skipped: 1 })
  })
  expect(await client.failed.count()).toBe(0)
  const queued = await client.queues.peek('default')
  expect(queued.map((raw) => (JSON.parse(raw) as { args: unknown[] }).args)).toEqual([[{ n: 0 }], [{ n: 2 }]])
})

test('a queue that the dashboard removes under a worker is worked again as soon as somebody enqueues into it', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns, { queues: ['*'] })
  await client.enqueue({ queue: 'mail', class: 'Gate', args: [worker.gate] })
  await worker.sees(1)
  await client.enqueue('mail', 'OkJob', { n: 1 })
  await removeQueue(redis, ns, 'mail')
  await redis.del(`${ns}:failed`)
  worker.open()
  await waitForRest(redis, ns, ['mail'])
  await client.enqueue('mail', 'OkJob', { n: 2 })
  expect((await worker.sees(2)).map(({ args }) => args[0])).toEqual([worker.gate, { n: 2 }])
  await waitForRest(redis, ns, ['mail'])
  expect(await redis.smembers(`${ns}:queues`)).toEqual(['mail'])
  expect(await familyViolations(redis, ns)).toEqual([])
})
