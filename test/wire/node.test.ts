import { expect } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { register } from '../../src/queue/registry.ts'
import { release } from '../../src/queue/recovery.ts'
import { selectQueues } from '../../src/queue/selection.ts'
import { openStore } from '../../src/redis/store.ts'
import { identify } from '../../src/worker/identity.ts'
import { silentLogger, type Logger } from '../../src/log.ts'
import { test } from '../support/fixtures.ts'
import { keysUnder, startRedis } from '../support/redis.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'
import { familyViolations } from './family.ts'
import { openNodeQueue, openNodeScheduler, startNodeWorker } from './noderesque.ts'
import { startWireWorker, waitForRest } from './worker.ts'

const BIG = '9007199254740993'

test('node-resque works what our client enqueues, with the arguments given', async ({ redis, redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const text = { s: 'é/"\\\n😀', n: -1.5, list: [[], {}, null, false], deep: { a: { b: [1] } } }
  await client.enqueue('default', 'OkJob', text)
  await client.enqueue('default', 'OkJob')
  await client.enqueue('default', 'OkJob', null)
  await client.enqueue('default', 'OkJob', [1, 2])
  await client.enqueue({
    queue: 'default',
    class: 'Mail::Send',
    args: [1, 'two', { three: 3 }],
    track: true,
    prefix: 'p',
    retry: 3,
    timeout: 9,
  })
  await client.enqueueBulk([{ queue: 'default', class: 'OkJob', args: ['bulk'] }])
  expect(await familyViolations(redis, ns)).toEqual([])
  const { performed, failures } = await startNodeWorker(redisUrl, ns, ['OkJob', 'Mail::Send'])
  await waitFor(() => performed.length === 6)
  expect(performed).toEqual([
    ['OkJob', text],
    ['OkJob'],
    ['OkJob', null],
    ['OkJob', [1, 2]],
    ['Mail::Send', 1, 'two', { three: 3 }],
    ['OkJob', 'bulk'],
  ])
  expect(failures).toEqual([])
  await waitFor(async () => (await redis.get(`${ns}:stat:processed`)) === '6')
})

test('our worker works what node-resque enqueues, with the arguments given', async ({ redis, redisUrl, ns }) => {
  const queue = await openNodeQueue(redisUrl, ns)
  const text = { s: 'é/"\\\n😀', n: -1.5, list: [[], {}, null, false] }
  await queue.enqueue('default', 'OkJob', [text, []])
  await queue.enqueue('default', 'OkJob')
  await queue.enqueue('default', 'OkJob', ['one', null])
  await queue.enqueue('default', 'OkJob', [{ only: 'object' }])
  const worker = await startWireWorker(redisUrl, ns)
  const seen = await worker.sees(4)
  expect(seen.map(({ args }) => args)).toEqual([[text, []], [], ['one', null], [{ only: 'object' }]])
  await waitForRest(redis, ns)
  expect(await queue.length('default')).toBe(0)
  expect(await queue.failedCount()).toBe(0)
  expect(await queue.stats()).toMatchObject({ processed: '4' })
  expect(await familyViolations(redis, ns)).toEqual([])
})

test('workers of both on one queue share its jobs and none runs twice', async ({ redis, redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const queue = await openNodeQueue(redisUrl, ns)
  const theirs = await startNodeWorker(redisUrl, ns, ['OkJob'])
  const ours = await startWireWorker(redisUrl, ns, { concurrency: 2 })
  for (let i = 0; i < 100; i++) {
    await client.enqueue('default', 'OkJob', { n: i })
    await queue.enqueue('default', 'OkJob', [{ n: 100 + i }])
  }
  const all = (): unknown[] => [...theirs.performed.map(([, one]) => one), ...ours.seen.map(({ args }) => args[0])]
  await waitFor(() => all().length >= 200)
  await waitForRest(redis, ns)
  const numbers = all().map((one) => (one as { n: number }).n)
  expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i))
  expect(theirs.failures).toEqual([])
  await theirs.worker.end()
  expect(await familyViolations(redis, ns)).toEqual([])
})

test('the queue object of node-resque sees our worker, idle and busy, under its name', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const queue = await openNodeQueue(redisUrl, ns)
  const worker = await startWireWorker(redisUrl, ns, { queues: ['default', 'with:colon', 'a/b'], concurrency: 2 })
  const ids = await worker.ids()
  const names = ids.map((id) => id.split(':').slice(0, 2).join(':'))
  expect(names).toHaveLength(2)
  expect(await queue.workers()).toEqual(Object.fromEntries(names.map((name) => [name, 'default,with:colon,a/b'])))
  expect(await queue.allWorkingOn()).toEqual(Object.fromEntries(names.map((name) => [name, 'started'])))
  await queue.enqueue('a/b', 'Gate', [worker.gate])
  await queue.enqueue('with:colon', 'Gate', [worker.gate])
  await worker.sees(2)
  const working = (await queue.allWorkingOn()) as unknown as Record<string, Record<string, unknown>>
  expect(Object.keys(working).sort()).toEqual(names)
  expect(names.map((name) => String(working[name]?.['queue'])).sort()).toEqual(['a/b', 'with:colon'])
  for (const name of names) {
    expect(working[name]).toMatchObject({ worker: name, payload: { class: 'Gate', args: [worker.gate] } })
    expect(Date.now() - Date.parse(working[name]?.['run_at'] as string)).toBeLessThan(10_000)
    expect(JSON.parse((await queue.workingOn(name, 'default,with:colon,a/b')) ?? 'null')).toEqual(working[name])
  }
  expect((await queue.queues()).sort()).toEqual(['a/b', 'with:colon'])
  expect(await familyViolations(redis, ns)).toEqual([])
  worker.open()
  await waitForRest(redis, ns, ['a/b', 'with:colon'])
  expect(await queue.allWorkingOn()).toEqual(Object.fromEntries(names.map((name) => [name, 'started'])))
  await worker.stop()
  expect(await queue.workers()).toEqual({})
})

test('the queue object of node-resque lists and retries our failures', async ({ redis, redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const queue = await openNodeQueue(redisUrl, ns)
  const worker = await startWireWorker(redisUrl, ns)
  await client.enqueue({ queue: 'default', class: 'ThrowJob', args: [{ p: '/x é' }, 1.5, [], {}] })
  await queue.enqueue('default', 'NoSuchJob', [1])
  await waitFor(async () => (await queue.failedCount()) === 2)
  const failed = await queue.failed(0, -1)
  expect(failed.map(({ exception, error }) => [exception, error])).toEqual([
    ['TypeError', 'boom é /slash'],
    ['Error', 'Could not find job class NoSuchJob.'],
  ])
  const [id] = await worker.ids()
  expect(failed[0]).toMatchObject({ worker: id, queue: 'default', payload: { class: 'ThrowJob' } })
  expect(new Date(failed[0]?.failed_at ?? '').getTime()).toBeGreaterThan(Date.now() - 60_000)
  await worker.stop()

  // Leaves alone what was not stuck, and must be able to look at it.
  await queue.retryStuckJobs()
  expect(await queue.failedCount()).toBe(2)
  expect(await queue.retryAndRemoveFailed(failed[0] as never)).toBe(true)
  expect(await queue.failedCount()).toBe(1)
  expect(await queue.queued('default', 0, -1)).toEqual([
    { class: 'ThrowJob', queue: 'default', args: [{ p: '/x é' }, 1.5, [], {}] },
  ])
  expect(await queue.removeFailed(failed[1] as never)).toBe(1)
  expect(await queue.failedCount()).toBe(0)
  expect(await queue.stats()).toMatchObject({ processed: '2', failed: '2' })
  expect(await familyViolations(redis, ns)).toEqual([])
})

test('a failure whose payload came in another form keeps its bytes, and node-resque leaves it where it is', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const queue = await openNodeQueue(redisUrl, ns)
  await startWireWorker(redisUrl, ns)
  const raw = String.raw`{"class":"ThrowJob","args":[{"p":"\/x \u00e9","n":${BIG},"f":1.10}],"id":"a1","prefix":"","queue_time":1.5}`
  await redis.rpush(`${ns}:queue:default`, raw)
  await waitFor(async () => (await queue.failedCount()) === 1)
  const [entry] = await redis.lrange(`${ns}:failed`, 0, -1)
  expect(entry).toContain(`"payload":${raw},"exception"`)
  const [failed] = await queue.failed(0, -1)
  await expect(queue.retryAndRemoveFailed(failed as never)).rejects.toThrow('not in failed queue')
  expect(await redis.lrange(`${ns}:failed`, 0, -1)).toEqual([entry])
})

test('a job that lost its process too often fails in a form that node-resque can retry', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const queue = await openNodeQueue(redisUrl, ns)
  const store = openStore({ url: redisUrl, namespace: ns })
  own('store', () => store.close())
  await client.enqueue('a/b', 'OkJob', { n: 1 })
  const lost = identify('gone').registration(1, selectQueues(['a/b']), 'fork')
  await register(store, lost)
  const raw = await redis.lpop(`${ns}:queue:a/b`)
  await redis.hset(`${ns}:ext:inflight:${lost.nonce}`, '0', `1 ${Date.now()} 3 a/b${raw}`)
  await redis.del(`${ns}:ext:lease:${lost.nonce}`)
  expect(await release(store, lost.nonce, { kind: 'lease' }, 0)).toMatchObject({ kind: 'released', failed: 1 })
  expect(await familyViolations(redis, ns)).toEqual([])
  const [failed] = await queue.failed(0, -1)
  expect(failed).toMatchObject({
    exception: 'DirtyExit',
    queue: 'a/b',
    backtrace: [],
    worker: `${lost.name}.0${lost.tail}`,
  })
  expect(await queue.retryAndRemoveFailed(failed as never)).toBe(true)
  expect(await queue.queued('a/b', 0, -1)).toEqual([{ class: 'OkJob', queue: 'a/b', args: [{ n: 1 }] }])
})

test("node-resque's cleaning of old workers leaves an idle worker alone and lets a busy one's job go on", async ({
  redis,
  redisUrl,
  ns,
}) => {
  const queue = await openNodeQueue(redisUrl, ns)
  const worker = await startWireWorker(redisUrl, ns)
  const [id = ''] = await worker.ids()
  const name = id.split(':').slice(0, 2).join(':')
  expect(await queue.cleanOldWorkers(0)).toEqual({})
  expect(await worker.ids()).toEqual([id])
  await queue.enqueue('default', 'Gate', [worker.gate])
  await worker.sees(1)
  await waitFor(async () => Object.keys(await queue.cleanOldWorkers(500)).includes(name))
  expect(await queue.failedCount()).toBe(1)
  worker.open()
  await waitForRest(redis, ns)
  expect(worker.seen).toHaveLength(1)
  expect(await redis.get(`${ns}:stat:processed`)).toBe('1')
  expect(await redis.exists(`${ns}:worker:${id}`)).toBe(0)
  await queue.enqueue('default', 'OkJob')
  await worker.sees(2)
})

test("node-resque's scheduler moves our delayed jobs and leaves our busy worker alone", async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const queue = await openNodeQueue(redisUrl, ns)
  const worker = await startWireWorker(redisUrl, ns, { queues: ['busy'] })
  await client.enqueue({ queue: 'busy', class: 'Gate', args: [worker.gate] })
  await worker.sees(1)
  const scheduler = await openNodeScheduler(redisUrl, ns, 1)
  await scheduler.start()
  await waitFor(() => scheduler.leader)

  const at = Math.floor(Date.now() / 1000) - 5
  const id = await client.enqueueAt(at, 'default', 'OkJob', { p: '/x é' }, { track: true })
  await client.enqueueAt(at + 100_000, 'default', 'OkJob', { later: true })
  await waitFor(async () => (await queue.length('default')) === 1)
  expect(await queue.queued('default', 0, -1)).toEqual([{ class: 'OkJob', queue: 'default', args: [{ p: '/x é' }] }])
  expect(await redis.get(`${ns}:job:${id}:status`)).toContain('"status":1')
  await waitFor(async () => (await queue.timestamps()).length === 1)
  expect(await queue.allDelayed()).toMatchObject({
    [`${(at + 100_000) * 1000}`]: [{ class: 'OkJob', args: [{ later: true }] }],
  })
  expect((await keysUnder(redis, `${ns}:timestamps:`)).filter((key) => !key.includes('later'))).toEqual([])
  expect(await queue.workers()).toEqual({ [(await worker.ids())[0]?.split(':busy')[0] as string]: 'busy' })
  expect(await queue.failedCount()).toBe(0)
  expect(await familyViolations(redis, ns)).toEqual([])
  expect(worker.seen).toHaveLength(1)
})

test('our worker moves the delayed jobs of node-resque, bytes unchanged, and performs them', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const queue = await openNodeQueue(redisUrl, ns)
  const at = Date.now() - 3000
  await queue.enqueueAt(at, 'default', 'OkJob', [{ p: '/x é' }, 2])
  await queue.enqueueAt(at - 1000, 'other', 'OkJob', [1])
  await queue.enqueueIn(3_600_000, 'default', 'OkJob', ['much later'])
  const items = await redis.lrange(`${ns}:delayed:${Math.round(at / 1000)}`, 0, -1)
  await redis.set(`${ns}:pause-all-workers`, 'true')
  const worker = await startWireWorker(redisUrl, ns, { queues: ['*'] })
  await waitFor(async () => (await queue.length('default')) === 1)
  expect(await redis.lrange(`${ns}:queue:default`, 0, -1)).toEqual(items)
  expect(await queue.scheduledAt('default', 'OkJob', [{ p: '/x é' }, 2])).toEqual([])
  expect(await queue.timestamps()).toHaveLength(1)
  await redis.del(`${ns}:pause-all-workers`)
  expect((await worker.sees(2)).map(({ queue: from, args }) => [from, args])).toEqual(
    expect.arrayContaining([
      ['default', [{ p: '/x é' }, 2]],
      ['other', [1]],
    ]),
  )
  await waitForRest(redis, ns)
  // What waits can still be found and taken back by the program that filed it.
  expect(await queue.delDelayed('default', 'OkJob', ['much later'])).toHaveLength(1)
  expect((await familyViolations(redis, ns)).filter((what) => !what.startsWith('delayed_queue_schedule'))).toEqual([])
})

test('while the scheduler of node-resque leads, delayed jobs are left to it, and taken over when it is gone', async ({
  redisUrl,
  ns,
}) => {
  const queue = await openNodeQueue(redisUrl, ns)
  const scheduler = await openNodeScheduler(redisUrl, ns)
  expect(await scheduler['tryForLeader']()).toBe(true)
  await queue.enqueueAt(Date.now() - 3000, 'default', 'OkJob', ['due'])
  const { log, saw } = watchLocks()
  const worker = await startWireWorker(redisUrl, ns, { log })
  await waitFor(() => saw(`${ns}:resque_scheduler_leader_lock`))
  await queue.enqueue('default', 'OkJob', ['now'])
  await worker.sees(1)
  expect(await queue.timestamps()).toHaveLength(1)
  await scheduler['releaseLeaderLock']()
  expect((await worker.sees(2)).map(({ args }) => args)).toEqual([['now'], ['due']])
})

test('while resque-scheduler leads, delayed jobs are left to it', async ({ redis, redisUrl, ns }) => {
  const queue = await openNodeQueue(redisUrl, ns)
  const lock = `${ns}:${ns}:resque_scheduler_master_lock`
  await redis.set(lock, 'localhost:1', 'EX', 180)
  await queue.enqueueAt(Date.now() - 3000, 'default', 'OkJob', ['due'])
  const { log, saw } = watchLocks()
  const first = await startWireWorker(redisUrl, ns, { log })
  await waitFor(() => saw(lock))
  await queue.enqueue('default', 'OkJob', ['now'])
  expect((await first.sees(1)).map(({ args }) => args)).toEqual([['now']])
  expect(await queue.timestamps()).toHaveLength(1)
  expect(await redis.get(lock)).toBe('localhost:1')
  await first.stop()
  await redis.del(lock)
  const second = await startWireWorker(redisUrl, ns)
  expect((await second.sees(1)).map(({ args }) => args)).toEqual([['due']])
})

/** A log in which one can see which scheduler's lock was met. */
function watchLocks(): { log: Logger; saw: (lock: string) => boolean } {
  const told: object[] = []
  return {
    log: { ...silentLogger, debug: (fields) => void told.push(fields) },
    saw: (lock) => told.some((fields) => 'lock' in fields && fields.lock === lock),
  }
}

test('without a namespace the keys stand bare, for both', async () => {
  const server = await startRedis()
  const redis = server.client()
  await using client = new ResQueue({ redis: server.url, namespace: '' })
  const queue = await openNodeQueue(server.url, '')
  const worker = await startWireWorker(server.url, '')
  await queue.enqueue('default', 'OkJob', ['theirs'])
  await client.enqueue('default', 'ThrowJob', { our: 'own' })
  await worker.sees(2)
  await waitFor(async () => (await queue.failedCount()) === 1)
  await queue.enqueue('default', 'Gate', [worker.gate])
  await worker.sees(3)
  expect(Object.keys(await queue.workers())).toHaveLength(1)
  expect(await redis.exists('queues', 'workers', 'failed', 'stat:processed', 'workers:heartbeat')).toBe(5)
  expect(await familyViolations(redis, '')).toEqual([])
})

test('namespaces keep apart what has the same name, also with a hash tag or a colon inside', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const names = [ns, `${ns}:inner`, `{${ns}}`]
  const queues = await Promise.all(names.map((name) => openNodeQueue(redisUrl, name)))
  for (const [i, name] of names.entries()) {
    await using client = new ResQueue({ redis: redisUrl, namespace: i === 1 ? `${name}:` : name })
    await client.enqueue('default', 'OkJob', { name })
    await queues[i]?.enqueue('default', 'OkJob', [{ name }])
  }
  for (const name of names) {
    const worker = await startWireWorker(redisUrl, name)
    expect((await worker.sees(2)).map(({ args }) => args)).toEqual([[{ name }], [{ name }]])
    await waitForRest(redis, name)
    await worker.stop()
  }
  for (const queue of queues) expect(await queue.stats()).toEqual({ processed: '2' })
})
