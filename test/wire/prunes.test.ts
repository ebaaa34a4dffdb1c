import { hostname } from 'node:os'
import { randomUUID } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { release } from '../../src/queue/recovery.ts'
import { register } from '../../src/queue/registry.ts'
import { selectQueues } from '../../src/queue/selection.ts'
import { openStore } from '../../src/redis/store.ts'
import { identify } from '../../src/worker/identity.ts'
import { test } from '../support/fixtures.ts'
import { isAlive, waitForDeath } from '../support/proc.ts'
import { ROOT, spawnCli } from '../support/process.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'
import { familyViolations } from './family.ts'
import { openNodeQueue } from './noderesque.ts'
import { phpPrune, phpUnregister, rubyPrune, rubyUnregister } from './prunes.ts'
import { startWireWorker, waitForRenewals, waitForRest } from './worker.ts'

/** Workers of Ruby and PHP start on our very machine and see none of our processes in their `ps`. */
async function pruneFromHere(redis: Redis, ns: string): Promise<string[]> {
  await redis.del(`${ns}:pruning_dead_workers_in_progress`)
  const pruner = { host: hostname(), pids: [], queues: ['*'] }
  return [...(await rubyPrune(redis, ns, pruner)), ...(await phpPrune(redis, ns, { ...pruner, queues: ['unrelated'] }))]
}

/** Whether these registrations stand, with start and heartbeat. */
async function stand(redis: Redis, ns: string, ids: readonly string[]): Promise<boolean> {
  for (const id of ids) {
    if ((await redis.sismember(`${ns}:workers`, id)) === 0) return false
    if ((await redis.exists(`${ns}:worker:${id}:started`)) === 0) return false
    if ((await redis.hexists(`${ns}:workers:heartbeat`, id)) === 0) return false
  }
  return true
}

test('workers of Ruby and PHP that start on our host find nothing of ours to prune, before, during and after a job', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns, {
    name: hostname().replaceAll(/[^\w.-]/g, '-'),
    queues: ['default'],
  })
  const ids = await worker.ids()
  const dead = `${hostname()}:999999:default`
  const expectOnly = async (): Promise<void> => {
    await redis.sadd(`${ns}:workers`, dead)
    // Each of them would find a worker that is really dead; Ruby, who comes first, takes it.
    expect(await pruneFromHere(redis, ns)).toEqual([dead])
    expect(await stand(redis, ns, ids)).toBe(true)
  }
  await expectOnly()
  await client.enqueue({ queue: 'default', class: 'Gate', args: [worker.gate] })
  await worker.sees(1)
  await expectOnly()
  expect(await redis.exists(`${ns}:worker:${ids[0]}`)).toBe(1)
  worker.open()
  await waitForRest(redis, ns)
  await expectOnly()
  expect(await redis.llen(`${ns}:failed`)).toBe(0)
  expect(await redis.get(`${ns}:stat:processed`)).toBe('1')
})

test('a worker that was pruned by force works on, loses no job, and stands in the registry again', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const peer = await openNodeQueue(redisUrl, ns)
  const worker = await startWireWorker(redisUrl, ns, { concurrency: 3 })
  const ids = await worker.ids()
  const [ruby = '', php = '', node = ''] = ids
  const forceClean = () => peer.forceCleanWorker(node.split(':').slice(0, 2).join(':'))

  // Before a job: slots that went from the registry take jobs all the same.
  await rubyUnregister(redis, ns, ruby)
  await phpUnregister(redis, ns, php)
  for (const n of [1, 2, 3]) await client.enqueue({ queue: 'default', class: 'Gate', args: [worker.gate, n] })
  await worker.sees(3)
  expect(await stand(redis, ns, ids)).toBe(false)

  // During one: Ruby and node-resque file the job as failed, PHP drops it; all go on, and are shown again.
  await rubyUnregister(redis, ns, ruby)
  await phpUnregister(redis, ns, php)
  expect(await forceClean()).toMatchObject({ queue: 'default', payload: { class: 'Gate' } })
  expect(await redis.llen(`${ns}:failed`)).toBe(2)
  await waitFor(() => stand(redis, ns, ids))
  for (const id of ids) {
    const busy = JSON.parse((await redis.get(`${ns}:worker:${id}`)) ?? 'null') as {
      payload: { args: unknown[] }
      worker: string
    }
    expect(busy).toMatchObject({ queue: 'default', payload: { class: 'Gate' } })
    expect(id.startsWith(`${busy.worker}:`)).toBe(true)
  }
  expect(await familyViolations(redis, ns)).toEqual([])
  worker.open()
  await waitForRest(redis, ns)
  expect(worker.seen.map(({ args }) => String(args[1])).sort()).toEqual(['1', '2', '3'])
  expect(await redis.get(`${ns}:stat:processed`)).toBe('3')

  // After one: nothing is busy, and the next jobs are taken while the registry does not know us.
  await rubyUnregister(redis, ns, ruby)
  await phpUnregister(redis, ns, php)
  await forceClean()
  for (const n of [4, 5, 6]) await client.enqueue({ queue: 'default', class: 'OkJob', args: [n] })
  await worker.sees(6)
  await waitForRest(redis, ns)
  expect(worker.seen).toHaveLength(6)
  expect(await redis.llen(`${ns}:failed`)).toBe(2)
  for (const id of ids) expect(await redis.exists(`${ns}:worker:${id}`)).toBe(0)
})

/** A process of ours that took one job and was lost: registration and record as the scripts write them. */
async function loseWorker(
  redisUrl: string,
  redis: Redis,
  ns: string,
  queue: string,
  payload?: string,
): Promise<{ id: string; raw: string; recover: () => Promise<unknown> }> {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  if (payload === undefined) await client.enqueue(queue, 'OkJob', { n: 1 })
  else await client.queues.push(queue, payload)
  const store = openStore({ url: redisUrl, namespace: ns })
  own('store', () => store.close())
  const lost = identify('lost').registration(1, selectQueues([queue]), 'fork')
  await register(store, lost)
  const raw = (await redis.lpop(`${ns}:queue:${queue}`)) as string
  await redis.hset(
    `${ns}:ext:inflight:${lost.nonce}`,
    '0',
    `1 ${Date.now()} ${Buffer.byteLength(queue)} ${queue}${raw}`,
  )
  const id = `${lost.name}.0${lost.tail}`
  await redis.set(
    `${ns}:worker:${id}`,
    `{"queue":${JSON.stringify(queue)},"run_at":"2026-11-22T18:24:39Z","worker":"x:1","payload":${raw}}`,
  )
  await redis.del(`${ns}:ext:lease:${lost.nonce}`)
  return { id, raw, recover: () => release(store, lost.nonce, { kind: 'lease' }, 3) }
}

for (const queue of ['default', 'a/b', 'größe']) {
  test(`a lost worker's job on ${queue} that a Ruby worker pruned is in the failed list and nowhere else`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const { id, raw, recover } = await loseWorker(redisUrl, redis, ns, queue)
    await redis.hset(`${ns}:workers:heartbeat`, id, '2020-01-01T00:00:00Z')
    expect(await rubyPrune(redis, ns, { host: 'elsewhere', pids: [], queues: ['unrelated'] })).toEqual([id])
    await recover()
    expect(await redis.llen(`${ns}:queue:${queue}`)).toBe(0)
    const failed = await redis.lrange(`${ns}:failed`, 0, -1)
    expect(failed).toHaveLength(1)
    expect(failed[0]).toContain(raw)
    expect(await familyViolations(redis, ns)).toEqual([])
  })
}

/** Payloads, and whether what Ruby writes of them anew differs: as php-resque writes them, and with numbers of ours. */
const PAYLOADS = [
  '{"class":"OkJob","args":[{"n":1}],"id":"4ef89c99c036da6022cf926be7ec3edd","prefix":"","queue_time":1795371757.49093}',
  String.raw`{"class":"App\\OkJob","args":[{"p":"\/x \u00e9"}],"id":"4ef89c99c036da6022cf926be7ec3edd","prefix":""}`,
  '{"class":"OkJob","args":[1.10,{},[],null,12345678901234567890]}',
]

for (const payload of PAYLOADS) {
  for (const multiQueue of [false, true]) {
    const list = multiQueue ? 'default_failed' : 'failed'
    test(`a lost worker's job that a Ruby worker filed in ${list} is nowhere else: ${payload}`, async ({
      redis,
      redisUrl,
      ns,
    }) => {
      const { id, recover } = await loseWorker(redisUrl, redis, ns, 'default', payload)
      await redis.hset(`${ns}:workers:heartbeat`, id, '2020-01-01T00:00:00Z')
      const pruner = { host: 'elsewhere', pids: [], queues: ['unrelated'], multiQueue }
      expect(await rubyPrune(redis, ns, pruner)).toEqual([id])
      expect(await redis.llen(`${ns}:${list}`)).toBe(1)
      await recover()
      expect(await redis.llen(`${ns}:queue:default`)).toBe(0)
      expect(await redis.keys(`${ns}:*failed`)).toEqual([`${ns}:${list}`])
    })
  }
}

test("failures of the same registration do not keep a lost worker's other job from coming back", async ({
  redis,
  redisUrl,
  ns,
}) => {
  const { id, raw, recover } = await loseWorker(redisUrl, redis, ns, 'default', PAYLOADS[2])
  await rubyUnregister(redis, ns, id)
  const text = (await redis.lpop(`${ns}:failed`)) as string
  const args = (JSON.parse(text) as { payload: { args: unknown[] } }).payload.args
  for (const others of [[...args, 1], args.slice(1), [1.1, { a: 1 }, [], null, 2]]) {
    await redis.rpush(`${ns}:failed`, text.replace(/"args":\[.*?\]\}/, `"args":${JSON.stringify(others)}}`))
  }
  await recover()
  expect(await redis.lrange(`${ns}:queue:default`, 0, -1)).toEqual([raw])
})

test("a lost worker's job that a PHP worker pruned is put back, with its bytes", async ({ redis, redisUrl, ns }) => {
  const { id, raw, recover } = await loseWorker(redisUrl, redis, ns, 'default')
  const [host = ''] = id.split(':')
  expect(await phpPrune(redis, ns, { host, pids: [], queues: [] })).toEqual([id])
  await recover()
  expect(await redis.lrange(`${ns}:queue:default`, 0, -1)).toEqual([raw])
  expect(await redis.llen(`${ns}:failed`)).toBe(0)
})

test("an earlier failure of the same payload does not keep a lost worker's job from coming back", async ({
  redis,
  redisUrl,
  ns,
}) => {
  const { id, raw, recover } = await loseWorker(redisUrl, redis, ns, 'default')
  const entry = {
    failed_at: '2026/11/22 18:25:21 UTC',
    payload: JSON.parse(raw) as object,
    exception: 'E',
    error: 'e',
    backtrace: [],
    worker: 'other:1:default',
    queue: 'default',
  }
  await redis.rpush(`${ns}:failed`, JSON.stringify(entry))
  await phpUnregister(redis, ns, id)
  await recover()
  expect(await redis.lrange(`${ns}:queue:default`, 0, -1)).toEqual([raw])
})

test('a worker that is killed in mid-job gives its job back once, whatever Ruby and PHP prune meanwhile', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const record = join(tmpdir(), `resqueue-wire-${randomUUID()}`)
  const gate = `${record}.gate`
  own('files', () => [record, gate].forEach((file) => rmSync(file, { force: true })))
  const victim = spawnCli(
    [
      'work',
      '--queues',
      'default',
      '--jobs',
      `${ROOT}test/fixtures/wire/jobs.ts`,
      '--redis',
      redisUrl,
      '--namespace',
      ns,
      '--port',
      '0',
    ],
    {
      env: { WIRE_RECORD: record },
    },
  )
  const id = await client.enqueue({ queue: 'default', class: 'Gate', args: [gate], track: true })
  await waitFor(() => readFileSync(record, 'utf8').includes('Gate'))
  const titleOf = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
  const { pid } = JSON.parse(readFileSync(record, 'utf8')) as { pid: number }
  // Where pids are shared, this is what Ruby (`resque-[0-9]`) and PHP (`resque`) look for in `ps` before they prune.
  expect(titleOf(victim.pid)).toMatch(/^resque-\d/)
  expect(titleOf(pid)).toMatch(/^resque-\d[^ ]*: Processing default since \d/)
  victim.signal('SIGPIPE')
  const [nonce = ''] = await redis.hkeys(`${ns}:ext:processes`)
  await waitForRenewals(redis, ns, nonce, 1)
  expect([isAlive(victim.pid), isAlive(pid)]).toEqual([true, true])
  await victim.kill()
  await waitForDeath(pid)
  expect(await pruneFromHere(redis, ns)).toEqual([])
  writeFileSync(gate, '')
  const successor = await startWireWorker(redisUrl, ns)
  expect(await pruneFromHere(redis, ns)).toEqual([])
  const [again] = await successor.sees(1)
  expect(again).toMatchObject({ id, class: 'Gate', args: [gate] })
  await waitForRest(redis, ns)
  expect(await redis.llen(`${ns}:failed`)).toBe(0)
  expect(await redis.get(`${ns}:stat:processed`)).toBe('1')
  expect(await redis.smembers(`${ns}:workers`)).toEqual(await successor.ids())
  expect(await redis.get(`${ns}:job:${id}:status`)).toContain('"status":4')
  expect(await familyViolations(redis, ns)).toEqual([])
})
