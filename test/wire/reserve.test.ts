import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { ROOT, spawnCli } from '../support/process.ts'
import { startRedis } from '../support/redis.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'
import { familyViolations } from './family.ts'
import { startWireWorker, waitForRest } from './worker.ts'

const HOOKS = `${ROOT}test/fixtures/wire/hooks.ts`
const job = (name: string, ...args: unknown[]): string => JSON.stringify({ class: name, args })

test('a worker loads its jobs, tells beforeFirstFork once, and only then stands in the registry and takes jobs', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const hold = join(tmpdir(), `resqueue-wire-${randomUUID()}`)
  process.env['WIRE_HOLD'] = hold
  own('hold', () => {
    delete process.env['WIRE_HOLD']
    rmSync(hold, { force: true })
  })
  await redis.rpush(`${ns}:queue:default`, job('OkJob', 1), job('OkJob', 2))
  const starting = startWireWorker(redisUrl, ns, { hooks: HOOKS })
  const record = await waitFor(() => process.env['WIRE_RECORD'])
  await waitFor(() => existsSync(record) && readFileSync(record, 'utf8').includes('beforeFirstFork'))
  expect(await redis.scard(`${ns}:workers`)).toBe(0)
  expect(await redis.llen(`${ns}:queue:default`)).toBe(2)
  writeFileSync(hold, '')
  const worker = await starting
  const [id] = await worker.ids()
  await waitFor(() => worker.seen.filter((one) => one.event === 'afterPerform').length === 2)
  expect(worker.seen.filter((one) => one.event === 'beforeFirstFork')).toHaveLength(1)
  expect(worker.seen[0]?.event).toBe('beforeFirstFork')
  expect(await redis.exists(`${ns}:worker:${id}:started`)).toBe(1)
})

test('each slot has a registration, named by host, nonce, slot, pid and the queues in order', async ({
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns, {
    name: 'web-1',
    queues: ['critical', '!slow', 'low', '*'],
    concurrency: 3,
  })
  const ids = await worker.ids()
  expect(ids).toHaveLength(3)
  const [, nonce] = /^web-1\.([0-9a-f]{12})\.0:/.exec(ids[0] ?? '') ?? []
  // What is skipped stays out of the id: dashboards and Ruby's workers read it as a list of queues.
  expect(ids).toEqual([0, 1, 2].map((slot) => `web-1.${nonce}.${slot}:${process.pid}:critical,low,*`))
  expect(process.title).toMatch(/^resque-\d/)
  const found = await client.workers.show(ids[1] ?? '')
  expect(found).toMatchObject({ kind: 'process', id: nonce, host: 'web-1', pid: process.pid, slots: 3, alive: true })
  expect(await client.workers.show('nobody:1:default')).toBeUndefined()
  expect(await client.workers.show('nocolon')).toBeUndefined()
  await worker.stop()
  expect(await client.workers.show(ids[1] ?? '')).toBeUndefined()
})

test('a worker on * takes the queues by name, finds new ones, and leaves skipped ones alone', async ({
  redis,
  redisUrl,
  ns,
}) => {
  for (const queue of ['b', 'a', 'c', 'skipped']) {
    await redis.sadd(`${ns}:queues`, queue)
    await redis.rpush(`${ns}:queue:${queue}`, job('OkJob', queue))
  }
  const worker = await startWireWorker(redisUrl, ns, { queues: ['*', '!skip*'], blocking: false })
  await worker.sees(3)
  await redis.sadd(`${ns}:queues`, 'later')
  await redis.rpush(`${ns}:queue:later`, job('OkJob', 'later'))
  expect((await worker.sees(4)).map(({ args }) => args[0])).toEqual(['a', 'b', 'c', 'later'])
  expect(await redis.llen(`${ns}:queue:skipped`)).toBe(1)
})

for (const blocking of [true, false]) {
  test(`a worker on * of an empty Redis waits without a fuss for the first queue (${blocking ? 'blocking' : 'polling'})`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    await using client = new ResQueue({ redis: redisUrl, namespace: ns })
    const worker = await startWireWorker(redisUrl, ns, { queues: ['*'], blocking })
    const nonce = await worker.nonce()
    await waitFor(async () => Number(await redis.hget(`${ns}:ext:inflight:${nonce}`, 'k')) > 0)
    const began = performance.now()
    await client.enqueue('first', 'OkJob', { n: 1 })
    expect(await worker.sees(1)).toMatchObject([{ queue: 'first', args: [{ n: 1 }] }])
    expect(performance.now() - began).toBeLessThan(1900)
  })

  test(`queues are emptied in the order of the list, each first in first out (${blocking ? 'blocking' : 'polling'})`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    for (const queue of ['low', 'high', 'mid'])
      for (const n of [1, 2]) await redis.rpush(`${ns}:queue:${queue}`, job('OkJob', queue, n))
    const worker = await startWireWorker(redisUrl, ns, { queues: ['high', 'mid', 'low'], blocking })
    expect((await worker.sees(6)).map(({ args }) => args.join(' '))).toEqual([
      'high 1',
      'high 2',
      'mid 1',
      'mid 2',
      'low 1',
      'low 2',
    ])
  })
}

test('a blocking worker starts a job of ours at once, however long its interval', async ({ redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns, { intervalMs: 3_600_000, queues: ['a', 'b'] })
  await client.enqueue('a', 'OkJob', { n: 1 })
  await worker.sees(1)
  const began = performance.now()
  await client.enqueue('b', 'OkJob', { n: 2 })
  await worker.sees(2)
  expect(performance.now() - began).toBeLessThan(5000)
})

test('a polling worker finds jobs of any program within its interval', async ({ redis, redisUrl, ns }) => {
  const worker = await startWireWorker(redisUrl, ns, { blocking: false, intervalMs: 200 })
  for (const n of [1, 2, 3]) {
    await redis.rpush(`${ns}:queue:default`, job('OkJob', n))
    const began = performance.now()
    await worker.sees(n)
    expect(performance.now() - began).toBeLessThan(1800)
  }
})

const MALFORMED = [
  '',
  'no json',
  '[]',
  '[1,2]',
  '5',
  '"text"',
  'null',
  '{}',
  '{"class":5}',
  '{"args":[]}',
  '{"class":"A"',
  '{"class":"A","args":[}',
  '{"class":"A"}}',
  '\u0000',
]

test('what cannot be a job goes to quarantine with its bytes, and the jobs around it are performed', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  for (const raw of MALFORMED) await redis.rpush(`${ns}:queue:default`, raw, job('OkJob', raw))
  const binary = Buffer.from([0x7b, 0xff, 0xfe, 0x7d])
  await redis.rpush(`${ns}:queue:default`, binary)
  const worker = await startWireWorker(redisUrl, ns)
  expect((await worker.sees(MALFORMED.length)).map(({ args }) => args[0])).toEqual(MALFORMED)
  await waitForRest(redis, ns)
  const held = await client.quarantine.list({ limit: 100 })
  expect(held.entries.map(({ raw }) => raw).toSorted()).toEqual([...MALFORMED, binary.toString()].toSorted())
  expect(held.entries.every(({ queue, reason }) => queue === 'default' && reason !== '')).toBe(true)
  expect(Buffer.concat(await redis.lrangeBuffer(`${ns}:ext:quarantine`, 0, -1)).includes(binary)).toBe(true)
  expect([await redis.llen(`${ns}:failed`), await redis.get(`${ns}:stat:processed`)]).toEqual([
    0,
    String(MALFORMED.length),
  ])
  expect(worker.handle.view.stopping).toBe(false)
  expect(await familyViolations(redis, ns)).toEqual([])
})

test('args that are absent, null or no list reach the job as its arguments', async ({ redis, redisUrl, ns }) => {
  await redis.rpush(
    `${ns}:queue:default`,
    '{"class":"OkJob"}',
    '{"class":"OkJob","args":null}',
    '{"args":{"a":1},"class":"OkJob"}',
    '{"class":"OkJob","args":"x"}',
  )
  const worker = await startWireWorker(redisUrl, ns)
  expect((await worker.sees(4)).map(({ args }) => args)).toEqual([[], [], [{ a: 1 }], ['x']])
})

test('the worker is told of each job before it begins: beforeFork gets queue, class and the bytes', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const raw = String.raw`{"class":"OkJob","args":[1.10,"\/"],"extra":{}}`
  await redis.rpush(`${ns}:queue:default`, raw)
  const worker = await startWireWorker(redisUrl, ns, { hooks: HOOKS })
  await waitFor(() => worker.seen.some((one) => one.event === 'afterPerform'))
  const order = worker.seen.map((one) => one.event ?? 'job')
  expect(order).toEqual(['beforeFirstFork', 'beforeFork', 'afterFork', 'beforePerform', 'job', 'afterPerform'])
  expect(worker.seen[1]).toMatchObject({ queue: 'default', class: 'OkJob', payload: raw })
})

test('a worker works on after Redis was away', async () => {
  const server = await startRedis({ args: ['--appendonly', 'yes'] })
  const redis = server.client({ maxRetriesPerRequest: 20 })
  const worker = await startWireWorker(server.url, 'test-000000000000')
  await redis.rpush('test-000000000000:queue:default', job('OkJob', 1))
  await worker.sees(1)
  await waitForRest(redis, 'test-000000000000')
  await server.restart()
  await waitFor(() => redis.rpush('test-000000000000:queue:default', job('OkJob', 2)))
  expect((await worker.sees(2)).map(({ args }) => args)).toEqual([[1], [2]])
})

test('with an interval of 0 a worker that is told everything by the environment leaves when nothing is left', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const { hostname, port } = new URL(redisUrl)
  const file = join(tmpdir(), `resqueue-wire-${randomUUID()}`)
  own('files', () => [file, `${file}.pid`].forEach((one) => rmSync(one, { force: true })))
  await redis.rpush(`${ns}:queue:one`, job('OkJob', 1))
  await redis.rpush(`${ns}:queue:two`, job('NoSuchJob', 2), job('Gate', `${file}.pid`))
  const worker = spawnCli(['work'], {
    env: {
      QUEUE: 'one,two',
      REDIS_BACKEND: `${hostname}:${port}`,
      PREFIX: ns,
      INTERVAL: '0',
      COUNT: '2',
      APP_INCLUDE: `${ROOT}test/fixtures/wire/jobs.ts`,
      PIDFILE: `${file}.pid`,
      PORT: '0',
      VERBOSE: '1',
      WIRE_RECORD: file,
    },
  })
  expect(await worker.waitForExit()).toEqual({ code: 0, signal: null })
  expect(
    readFileSync(file, 'utf8')
      .match(/"OkJob"|"Gate"/g)
      ?.sort(),
  ).toEqual(['"Gate"', '"OkJob"'])
  expect(await redis.llen(`${ns}:failed`)).toBe(1)
  expect(await redis.scard(`${ns}:workers`)).toBe(0)
  expect(existsSync(`${file}.pid`)).toBe(false)
})
