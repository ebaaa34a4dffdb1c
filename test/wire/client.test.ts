import { expect } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { runCli } from '../support/process.ts'
import { familyViolations } from './family.ts'
import { startWireWorker, waitForRest } from './worker.ts'

test('a status can be created, read, changed and stopped; what is not tracked stays unknown to its handle', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const id = (await client.enqueue('mail', 'A', {}, true)) as string
  const status = client.status(id)
  expect([await status.isTracking(), await status.status(), await status.result()]).toEqual([true, 1, null])
  const started = await status.started()
  expect(await status.update('running')).toBe(true)
  expect(await status.update('complete', { done: [1] })).toBe(true)
  expect(await status.get()).toMatchObject({ code: 4, state: 'complete', result: { done: [1] }, started })
  expect(await redis.ttl(`${ns}:job:${id}:status`)).toBeGreaterThan(86_390)
  expect(await status.update('broken' as never)).toBe(false)
  expect(await status.status()).toBe(4)
  await status.stop()
  expect(await status.isTracking()).toBe(false)
  await redis.set(`${ns}:job:${id}:status`, '{"status":1,"updated":1}')
  expect([await status.get(), await status.status(), await status.update('running')]).toEqual([false, false, false])
  expect(await client.status(id).status()).toBe(1)

  const other = client.status('by-hand')
  expect(await other.get()).toBe(false)
  await other.create()
  expect(await other.status()).toBe(1)
})

test('a job is taken from the head of a queue, describes itself, and is enqueued again with what it had', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const id = await client.enqueue('mail', 'App\\Mail', { a: 1 }, { track: true, prefix: 'p', retry: 3 })
  await redis.rpush(`${ns}:queue:mail`, '{"class":"Ruby","args":[1,"two"]}')
  const [mine, theirs, none] = [
    await client.reserve('mail'),
    await client.reserve('mail'),
    await client.reserve('mail'),
  ]
  expect(String(mine)).toBe(`(Job{mail} | ID: ${id} | App\\Mail | [{"a":1}])`)
  expect(String(theirs)).toBe('(Job{mail} | Ruby | [1,"two"])')
  expect(none).toBeUndefined()
  if (!mine || !theirs) throw new Error('nothing was taken')
  const again = await client.recreate(mine)
  await client.recreate(theirs)
  expect(again).not.toBe(id)
  const [first, second] = (await client.queues.peek('mail')).map((raw) => JSON.parse(raw) as Record<string, unknown>)
  expect(first).toMatchObject({
    class: 'App\\Mail',
    args: [{ a: 1 }],
    id: again,
    prefix: 'p',
    x: { retry: { attempts: 3 } },
  })
  expect(second).toMatchObject({ class: 'Ruby', args: [1, 'two'] })
  expect(await client.status(again as string, 'p').status()).toBe(1)
  expect(await client.status(second?.['id'] as string).get()).toBe(false)
})

test('queues are pushed to, looked at, taken from, thinned out and removed', async ({ redis, redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  for (const n of [1, 2, 3])
    await client.queues.push('q', { class: n === 2 ? 'B' : 'A', args: [{ foo: n, bar: 'x' }], id: `id-${n}` })
  await client.queues.push('q', '{"class":"A","args":[{"foo":1}],  "id":"id-4"}')
  await client.queues.push('q', { class: 'A', args: [] })
  expect([await client.queues.names(), await client.queues.size('q')]).toEqual([['q'], 5])
  expect(await client.queues.peek('q', 3, 1)).toEqual(['{"class":"A","args":[{"foo":1}],  "id":"id-4"}'])
  // A job is meant when every value that it has is among those given: a subset fits, no arguments never do.
  expect(await client.queues.dequeue('q', [{ A: { foo: 1, bar: 'x' } }])).toBe(2)
  expect(await client.queues.dequeue('q', [{ A: 'id-2' }])).toBe(0)
  expect(await client.queues.dequeue('q', [{ A: 'id-3' }, 'C'])).toBe(1)
  const left = (await client.queues.peek('q')).map((raw) => JSON.parse(raw) as { class: string })
  expect(left.map((one) => one.class)).toEqual(['B', 'A'])
  expect(await client.queues.pop('q')).toContain('"class":"B"')
  expect(await client.queues.dequeue('q')).toBe(1)
  expect(await client.queues.names()).toEqual(['q'])
  await client.queues.push('q', { class: 'A', args: [] })
  expect(await client.queues.remove('q')).toBe(1)
  expect([await redis.exists(`${ns}:queue:q`), await client.queues.names()]).toEqual([0, []])
  expect(await client.queues.remove('q')).toBe(0)
})

test('statistics are counted up and down, read and forgotten', async ({ redis, redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  expect(await client.stats.get('mine')).toBe(0)
  expect([
    await client.stats.incr('mine'),
    await client.stats.incr('mine', 5),
    await client.stats.decr('mine', 2),
  ]).toEqual([1, 6, 4])
  expect(await redis.get(`${ns}:stat:mine`)).toBe('4')
  expect([await client.stats.clear('mine'), await client.stats.clear('mine'), await client.stats.get('mine')]).toEqual([
    true,
    false,
    0,
  ])
})

test('the command line enqueues tracked jobs and lists and retries failed ones', async ({ redis, redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const common = ['--redis', redisUrl, '--namespace', ns]
  const cli = (...args: string[]) => runCli([...args, ...common])
  const enqueued = await cli('enqueue', 'mail', 'ThrowJob', '{"a":1}', '--track')
  expect(enqueued).toMatchObject({ code: 0, stderr: '' })
  const id = enqueued.stdout.trim()
  expect(id).toMatch(/^[0-9a-f]{32}$/)
  expect(await client.status(id).status()).toBe(1)
  await startWireWorker(redisUrl, ns, { queues: ['mail'], burst: true }).then((worker) => worker.handle.done)
  const listed = await cli('failed', 'ls', '-o', 'json')
  expect(JSON.parse(listed.stdout)).toMatchObject([{ queue: 'mail', class: 'ThrowJob', error: 'boom é /slash' }])
  expect((await cli('failed', 'retry', '--class', 'ThrowJob', '--yes')).code).toBe(0)
  expect([await client.queues.size('mail'), await client.failed.count()]).toEqual([1, 0])
  await waitForRest(redis, ns, [])
  expect(await familyViolations(redis, ns)).toEqual([])
})
