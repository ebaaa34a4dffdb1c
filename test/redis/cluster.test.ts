import { expect } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { test } from '../support/fixtures.ts'
import { openQueue } from './client.ts'

test('in a Redis Cluster a hash-tagged namespace keeps every operation in one slot', async () => {
  const { nodes } = await startCluster()
  const url = `redis-cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`
  const client = openQueue(url, '{resque}')
  await client.enqueueBulk([
    { queue: 'a', class: 'A', track: true, id: 't' },
    { queue: 'b', class: 'B' },
  ])
  await client.enqueueAt(4_000_000_000, 'a', 'Later')
  expect(await client.status('t').status()).toBe(1)
  expect((await client.queues.list()).queues.map(({ name, size }) => [name, size])).toEqual([
    ['a', 1],
    ['b', 1],
  ])
  expect(await client.queues.dequeue('b', ['B'])).toBe(1)
  expect(String(await client.reserve('a'))).toBe('(Job{a} | ID: t | A | [])')
  expect(await client.delayed.remove({ class: 'Later' })).toBe(1)
  expect(await client.failed.retry({ all: true })).toEqual({ moved: 0, skipped: 0 })
  expect(await client.stats.overview()).toMatchObject({ queues: 2, delayedTimestamps: 0 })
  expect(await client.workers.list()).toEqual([])
  expect(() => openQueue(url, 'resque')).toThrow(expect.objectContaining({ code: 'USAGE' }))
})
