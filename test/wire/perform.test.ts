import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { ROOT } from '../support/process.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'
import { familyViolations } from './family.ts'
import { startWireWorker, waitForRest, type Seen } from './worker.ts'

const HOOKS = `${ROOT}test/fixtures/wire/hooks.ts`
const steps = (seen: readonly Seen[]): string[] =>
  seen.map((one) => one.event ?? one.step ?? 'perform').filter((step) => step !== 'beforeFirstFork')

const ALL = ['beforeFork', 'afterFork', 'beforePerform', 'setUp', 'perform', 'tearDown', 'afterPerform']

test('a job runs through its whole life in order, and its instance has the first argument, the queue and the job', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns, { hooks: HOOKS })
  const id = await client.enqueue('default', 'Lifecycle', { a: 1 }, { track: true })
  await waitForRest(redis, ns)
  expect(steps(worker.seen)).toEqual(ALL)
  for (const one of worker.seen.filter(({ step }) => step)) {
    expect(one).toMatchObject({ id, class: 'Lifecycle', queue: 'default', on: 'default', given: { a: 1 }, attempt: 1 })
  }
  expect(worker.seen.find(({ step }) => step === 'perform')?.args).toEqual([{ a: 1 }])
  expect(await client.status(id as string).get()).toMatchObject({ state: 'complete', result: 'result' })
})

test('without arguments, and with null for one, an instance has an empty list', async ({ redis, redisUrl, ns }) => {
  await redis.rpush(
    `${ns}:queue:default`,
    '{"class":"Lifecycle"}',
    '{"class":"Lifecycle","args":[null]}',
    '{"class":"Lifecycle","args":[[1,2]]}',
  )
  const worker = await startWireWorker(redisUrl, ns)
  await worker.sees(9)
  expect(worker.seen.filter(({ step }) => step === 'perform').map(({ given }) => given)).toEqual([[], [], [1, 2]])
})

for (const step of ['afterFork', 'beforePerform', 'setUp', 'perform', 'tearDown', 'afterPerform']) {
  test(`a throw in ${step} fails the job: the rest is skipped, onFailure is told before the failure is recorded`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    await using client = new ResQueue({ redis: redisUrl, namespace: ns })
    const worker = await startWireWorker(redisUrl, ns, { hooks: HOOKS })
    const id = await client.enqueue('default', 'Lifecycle', { fail: step }, { track: true })
    await waitForRest(redis, ns)
    expect(steps(worker.seen)).toEqual([...ALL.slice(0, ALL.indexOf(step) + 1), 'onFailure'])
    expect(worker.seen.at(-1)).toMatchObject({ class: 'Lifecycle', type: 'RangeError', message: `${step} failed` })
    const { entries } = await client.failed.list()
    expect(entries).toMatchObject([{ exception: 'RangeError', error: `${step} failed`, queue: 'default' }])
    expect(entries[0]?.backtrace.length).toBeGreaterThan(0)
    expect(await client.status(id as string).get()).toMatchObject({ state: 'failed', result: null })
    expect(await redis.ttl(`${ns}:job:${id}:status`)).toBeGreaterThan(86_390)
    expect([await client.stats.get('processed'), await client.stats.get('failed')]).toEqual([1, 1])
    expect(await familyViolations(redis, ns)).toEqual([])
  })

  test(`DoNotPerform from ${step} ends the job without a failure and with the result false`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    await using client = new ResQueue({ redis: redisUrl, namespace: ns })
    const worker = await startWireWorker(redisUrl, ns, { hooks: HOOKS })
    const id = await client.enqueue('default', 'Lifecycle', { skip: step }, { track: true })
    await waitForRest(redis, ns)
    expect(steps(worker.seen)).toEqual(ALL.slice(0, ALL.indexOf(step) + 1))
    expect(await client.status(id as string).get()).toMatchObject({ state: 'complete', result: false })
    expect([
      await client.stats.get('processed'),
      await client.stats.get('failed'),
      await client.failed.count(),
    ]).toEqual([1, 0, 0])
  })
}

test('a class that is unknown and one without perform fail with the words of the family', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await redis.rpush(`${ns}:queue:default`, '{"class":"NoSuch","args":[]}', '{"class":"NoPerform","args":[]}')
  await startWireWorker(redisUrl, ns)
  await waitForRest(redis, ns)
  const failed = (await redis.lrange(`${ns}:failed`, 0, -1)).map(
    (text) => (JSON.parse(text) as { error: string }).error,
  )
  expect(failed).toEqual(['Could not find job class NoSuch.', 'Job class NoPerform does not contain a perform method.'])
})

test('half of a character, on which the readers of Ruby and PHP give up, is left in no record', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const id = (await client.enqueue('default', 'HalfJob', { fails: false }, { track: true })) as string
  await client.enqueue('default', 'HalfJob', { fails: true })
  await startWireWorker(redisUrl, ns)
  await waitForRest(redis, ns)
  expect(await redis.get(`${ns}:job:${id}:status`)).toContain(String.raw`"result":["a \ufffd","\\ud83d"]}`)
  expect((await redis.lindex(`${ns}:failed`, 0)) ?? '').toContain(String.raw`"error":"a \ufffd","backtrace"`)
  await client.status(id).update('complete', '😀'.slice(1))
  expect(await redis.get(`${ns}:job:${id}:status`)).toContain(String.raw`"result":"\ufffd"}`)
})

test('each ended job counts once, for the system and for its worker, and frees the worker', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns)
  const [id = ''] = await worker.ids()
  for (const name of ['OkJob', 'ThrowJob', 'OkJob', 'Skip']) await client.enqueue('default', name, {})
  await waitFor(async () => (await client.stats.get(`processed:${id}`)) === 4)
  expect(await client.stats.get(`failed:${id}`)).toBe(1)
  expect([await client.stats.get('processed'), await client.stats.get('failed')]).toEqual([4, 1])
  expect(await redis.exists(`${ns}:worker:${id}`)).toBe(0)
  await worker.stop()
  expect(await redis.exists(`${ns}:stat:processed:${id}`, `${ns}:stat:failed:${id}`)).toBe(0)
  expect([await client.stats.get('processed'), await client.stats.get('failed')]).toEqual([4, 1])
})

for (const isolation of ['spawn', 'auto'] as const) {
  test(`each job has a process of its own that is not the worker's (${isolation})`, async ({ redis, redisUrl, ns }) => {
    await using client = new ResQueue({ redis: redisUrl, namespace: ns })
    const worker = await startWireWorker(redisUrl, ns, { engine: { isolation } })
    const zero = await client.enqueue('default', 'ExitZero', {}, { track: true })
    await client.enqueue('default', 'OkJob', { n: 1 })
    await client.enqueue('default', 'KillJob', {})
    await client.enqueue('default', 'OkJob', { n: 2 })
    await waitForRest(redis, ns)
    expect(worker.seen.map(({ class: name }) => name)).toEqual(['ExitZero', 'OkJob', 'KillJob', 'OkJob'])
    expect(new Set([process.pid, ...worker.seen.map(({ pid }) => pid)]).size).toBe(5)
    // exit(0) is a success without a result; a killed process is a failure that names itself.
    expect(await client.status(zero as string).get()).toMatchObject({ state: 'complete', result: null })
    expect((await client.failed.list()).entries).toMatchObject([
      { exception: 'DirtyExit', error: 'Job exited abnormally', signal: 'SIGKILL', payload: { class: 'KillJob' } },
    ])
    expect([await client.stats.get('processed'), await client.stats.get('failed')]).toEqual([4, 1])
    // Nothing but what the family knows is kept about a running job's process.
    expect(await redis.exists(`${ns}:job:${zero}:pid`)).toBe(0)
  })

  test(`listeners are told of the jobs that there are, and of no others, each in its process (${isolation})`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    await redis.rpush(`${ns}:queue:default`, '{"class":"OkJob","args":[]}', '{"class":"ThrowJob","args":[]}')
    const worker = await startWireWorker(redisUrl, ns, { engine: { isolation }, hooks: HOOKS })
    await waitForRest(redis, ns)
    const jobs = worker.seen.filter(({ event }) => event === undefined)
    const pids = (event: string): number[] => worker.seen.filter((one) => one.event === event).map(({ pid }) => pid)
    expect(jobs.map(({ class: name }) => name)).toEqual(['OkJob', 'ThrowJob'])
    expect(pids('afterFork')).toEqual(jobs.map(({ pid }) => pid))
    expect(pids('beforePerform')).toEqual(jobs.map(({ pid }) => pid))
    expect(pids('afterPerform')).toEqual(jobs.slice(0, 1).map(({ pid }) => pid))
    expect(pids('onFailure')).toHaveLength(1)
  })
}

test('failures go to one list per queue where that backend is chosen, in the keys of Ruby Resque', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  await startWireWorker(redisUrl, ns, { queues: ['a', 'b'], failureBackends: [{ kind: 'multi-queue' }] })
  await client.enqueue('a', 'ThrowJob', { n: 1 })
  await client.enqueue('b', 'ThrowJob', { n: 2 })
  await waitFor(async () => (await client.stats.get('failed')) === 2)
  expect(await redis.smembers(`${ns}:failed_queues`)).toEqual(expect.arrayContaining(['a_failed', 'b_failed']))
  expect([
    await redis.llen(`${ns}:failed`),
    await redis.llen(`${ns}:a_failed`),
    await redis.llen(`${ns}:b_failed`),
  ]).toEqual([0, 1, 1])
  expect(await client.failed.queues()).toEqual(['a', 'b'])
  expect((await client.failed.list({ listOf: 'b' })).entries).toMatchObject([{ payload: { args: [{ n: 2 }] } }])
  expect(await familyViolations(redis, ns)).toEqual([])
  expect(await client.failed.retry({ listOf: 'a', all: true })).toEqual({ moved: 1, skipped: 0 })
})

test("a failure backend of one's own gets each failure, and when it throws the failed list has it", async ({
  redisUrl,
  ns,
}) => {
  const folder = mkdtempSync(join(tmpdir(), 'resqueue-wire-'))
  own('folder', () => rmSync(folder, { recursive: true }))
  const file = join(folder, 'backend.mjs')
  writeFileSync(
    file,
    `import { appendFileSync } from 'node:fs'
     export function save({ job, error }) {
       appendFileSync(${JSON.stringify(join(folder, 'saved'))}, job.class + ' ' + error.message + '\\n')
       if (job.class === 'NoSuch') throw new Error('the backend is broken')
     }`,
  )
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  await startWireWorker(redisUrl, ns, { failureBackends: [{ kind: 'module', file }] })
  await client.enqueue('default', 'ThrowJob', {})
  await client.enqueue('default', 'NoSuch', {})
  await waitFor(async () => (await client.stats.get('failed')) === 2)
  expect(readFileSync(join(folder, 'saved'), 'utf8')).toBe(
    'ThrowJob boom é /slash\nNoSuch Could not find job class NoSuch.\n',
  )
  expect((await client.failed.list()).entries).toMatchObject([{ payload: { class: 'NoSuch' } }])
})

test('a delayed job is moved raw, oldest second first and first in first out, and beforeDelayedEnqueue is told', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const now = Math.floor(Date.now() / 1000)
  const ids = []
  for (const [n, back] of [10, 20, 20, 5].entries())
    ids.push(await client.enqueueAt(now - back, 'default', 'OkJob', { n }, { track: true }))
  const items = await redis.lrange(`${ns}:delayed:${now - 20}`, 0, -1)
  await redis.rpush(`${ns}:delayed:${now - 10}`, 'no json', '{"class":"OkJob","args":[]}')
  const worker = await startWireWorker(redisUrl, ns, { hooks: HOOKS })
  await waitFor(async () => (await client.delayed.scheduleSize()) === 0)
  await waitForRest(redis, ns)
  const told = worker.seen.filter(({ event }) => event === 'beforeDelayedEnqueue')
  expect(told.map(({ args }) => args)).toEqual([1, 2, 0, 3].map((n) => [{ n }]))
  const forks = worker.seen.filter(({ event }) => event === 'beforeFork')
  expect(forks.map(({ payload }) => payload).slice(0, 2)).toEqual(items)
  for (const id of ids) expect(await client.status(id as string).get()).toMatchObject({ state: 'complete' })
  // What cannot go to a queue is kept aside and stops nothing.
  expect((await client.quarantine.list()).entries.map(({ raw }) => raw).toSorted()).toEqual(
    ['no json', '{"class":"OkJob","args":[]}'].toSorted(),
  )
  expect(await client.delayed.scheduleSize()).toBe(0)
  expect(await familyViolations(redis, ns)).toEqual([])
})
