import { expect } from 'vitest'
import { createViewer } from '../../src/controller/view.ts'
import { selectQueues } from '../../src/queue/selection.ts'
import { openStore } from '../../src/redis/store.ts'
import { test } from '../support/fixtures.ts'
import { startRedis } from '../support/redis.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'

test('a queue that came since the last look is in the next one', async ({ redis, redisUrl, ns }) => {
  const store = openStore({ url: redisUrl, namespace: ns })
  own('store', () => store.close())
  const viewer = createViewer(store, AbortSignal.timeout(60_000))
  viewer.want('shop/mailers', selectQueues(['mail-*']), 0)
  const waiting = async (): Promise<readonly (readonly [string, number])[]> => {
    const { queues } = await viewer.look(0)
    return [...queues.values()].map((queue) => [queue.queue, queue.waiting] as const)
  }
  expect(await waiting()).toEqual([])
  await redis.sadd(`${ns}:queues`, 'mail-a')
  await redis.rpush(`${ns}:queue:mail-a`, '{"class":"A","args":[]}')
  expect(await waiting()).toEqual([['mail-a', 1]])
})

test('a frozen Redis fails a look after two seconds, and at once when the term ends', async ({ ns }) => {
  await using server = await startRedis()
  const store = openStore({ url: server.url, namespace: ns })
  own('store', () => store.close())
  const over = new AbortController()
  const viewer = createViewer(store, over.signal)
  viewer.want('shop/mailers', selectQueues(['*']), 0)
  await viewer.look(0)
  server.pause()
  try {
    const began = performance.now()
    await expect(viewer.look(0)).rejects.toThrow('did not answer within 2 s')
    const tookMs = performance.now() - began
    expect(tookMs).toBeGreaterThan(1900)
    expect(tookMs).toBeLessThan(4900)
    const sent = store.counts.commands
    const look = viewer.look(0)
    await waitFor(() => store.counts.commands > sent)
    const endedAt = performance.now()
    over.abort()
    await expect(look).rejects.toMatchObject({ name: 'AbortError' })
    expect(performance.now() - endedAt).toBeLessThan(1900)
  } finally {
    server.resume()
  }
})
