import { expect } from 'vitest'
import { moveSlot, startCluster } from '../support/cluster.ts'
import { test } from '../support/fixtures.ts'
import { never } from '../support/wait.ts'
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

test('while the slot of the namespace moves nothing is taken or put, and afterwards everything is in one place', async () => {
  const cluster = await startCluster()
  const client = openQueue(cluster.url, '{resque}')
  await client.enqueueBulk(Array.from({ length: 3 }, () => ({ queue: 'q', class: 'A', track: true })))
  const at = await Promise.all(
    cluster.nodes.map((node) =>
      node
        .client()
        .call('exists', '{resque}:queue:q')
        .catch(() => 0),
    ),
  )
  let owner = cluster.nodes[at.indexOf(1)] as (typeof cluster.nodes)[number]
  const acknowledged: string[] = []
  // Without any worker `ext:meta` is not there; with one it is. Redis refuses either way, in different ways.
  for (const meta of [false, true]) {
    const next = cluster.nodes.find((node) => node !== owner) as typeof owner
    if (meta) await owner.client().call('hset', '{resque}:ext:meta', 'version', '1')
    const calls: Promise<unknown>[] = []
    await moveSlot(cluster, '{resque}:queue:q', owner, next, async () => {
      let answered = false
      for (let n = 0; n < 3; n++) {
        calls.push(client.enqueue('q', 'B', [n], { track: true }).then((id) => acknowledged.push(id as string)))
      }
      calls.push(client.reserve('q'))
      for (const call of calls) call.then(() => (answered = true)).catch(() => undefined)
      await never(500, () => answered, 'an answer while the slot moves')
    })
    await Promise.all(calls)
    owner = next
    expect(await owner.client().llen('{resque}:queue:q')).toBe(meta ? 7 : 5)
  }
  const jobs = (await owner.client().lrange('{resque}:queue:q', 0, -1)).map(
    (text) => (JSON.parse(text) as { id: string }).id,
  )
  expect(jobs).toEqual(expect.arrayContaining(acknowledged))
  expect(acknowledged).toHaveLength(6)
})
