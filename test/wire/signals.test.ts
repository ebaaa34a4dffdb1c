import { expect } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { isAlive, waitForDeath } from '../support/proc.ts'
import { waitFor } from '../support/wait.ts'
import { familyViolations } from './family.ts'
import { startWireWorker, waitForRenewals, waitForRest } from './worker.ts'

test('QUIT finishes what runs, takes nothing more, and leaves no registration', async ({ redis, redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns, { shutdownTimeoutMs: 1 })
  const id = await client.enqueue({ queue: 'default', class: 'Gate', args: [worker.gate], track: true })
  await worker.sees(1)
  worker.handle.signal('SIGQUIT')
  await client.enqueue('default', 'OkJob', {})
  worker.open()
  expect(await worker.handle.done).toEqual({ exitCode: 0 })
  expect(await client.status(id as string).get()).toMatchObject({ state: 'complete', result: 'opened' })
  expect([
    await redis.llen(`${ns}:queue:default`),
    await redis.scard(`${ns}:workers`),
    await redis.hlen(`${ns}:workers:heartbeat`),
  ]).toEqual([1, 0, 0])
  expect(worker.seen).toHaveLength(1)
  expect(await familyViolations(redis, ns)).toEqual([])
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} lets a job end by itself within the shutdown timeout`, async ({ redisUrl, ns }) => {
    await using client = new ResQueue({ redis: redisUrl, namespace: ns })
    const worker = await startWireWorker(redisUrl, ns, { shutdownTimeoutMs: 20_000 })
    const id = await client.enqueue({ queue: 'default', class: 'Gate', args: [worker.gate], track: true })
    await worker.sees(1)
    worker.handle.signal(signal)
    worker.open()
    expect(await worker.handle.done).toEqual({ exitCode: 0 })
    expect(await client.status(id as string).get()).toMatchObject({ state: 'complete' })
  })

  test(`${signal} stops a job that is still running after the shutdown timeout and puts it back in front, never failed`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    await using client = new ResQueue({ redis: redisUrl, namespace: ns })
    const worker = await startWireWorker(redisUrl, ns, { shutdownTimeoutMs: 100, engine: { isolation: 'spawn' } })
    const id = await client.enqueue({ queue: 'default', class: 'Gate', args: [worker.gate], track: true })
    const [running] = await worker.sees(1)
    await client.enqueue('default', 'OkJob', {})
    worker.handle.signal(signal)
    expect(await worker.handle.done).toEqual({ exitCode: 0 })
    const [first, second] = await client.queues.peek('default')
    expect([first, second].map((raw) => (JSON.parse(raw ?? 'null') as { class: string }).class)).toEqual([
      'Gate',
      'OkJob',
    ])
    expect(await client.status(id as string).get()).toMatchObject({ state: 'waiting' })
    expect([
      await client.failed.count(),
      await client.stats.get('processed'),
      await client.stats.get('failed'),
    ]).toEqual([0, 0, 0])
    await waitForDeath(running?.pid ?? 0)
    expect(await redis.scard(`${ns}:workers`)).toBe(0)
    expect(await familyViolations(redis, ns)).toEqual([])
  })
}

test('a second TERM kills at once and puts back', async ({ redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns, {
    shutdownTimeoutMs: 600_000,
    engine: { isolation: 'spawn', killDelayMs: 600_000 },
  })
  await client.enqueue({ queue: 'default', class: 'Gate', args: [worker.gate] })
  await worker.sees(1)
  worker.handle.signal('SIGTERM')
  worker.handle.signal('SIGTERM')
  expect(await worker.handle.done).toEqual({ exitCode: 143 })
  expect([await client.queues.size('default'), await client.failed.count()]).toEqual([1, 0])
})

test("USR1 kills the running job's process, which fails the job, and the worker goes on", async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns, { engine: { isolation: 'spawn' } })
  const id = await client.enqueue({ queue: 'default', class: 'Gate', args: [worker.gate], track: true })
  const [running] = await worker.sees(1)
  expect(isAlive(running?.pid ?? 0)).toBe(true)
  worker.handle.signal('SIGUSR1')
  await waitForDeath(running?.pid ?? 0)
  await waitForRest(redis, ns)
  expect((await client.failed.list()).entries).toMatchObject([{ exception: 'DirtyExit', payload: { id } }])
  expect(await client.status(id as string).get()).toMatchObject({ state: 'failed' })
  await client.enqueue('default', 'OkJob', {})
  await worker.sees(2)
})

test('USR2 pauses: what runs goes on and nothing more is taken, until CONT', async ({ redis, redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns, { concurrency: 2 })
  const id = await client.enqueue({ queue: 'default', class: 'Gate', args: [worker.gate], track: true })
  await worker.sees(1)
  worker.handle.signal('SIGUSR2')
  await client.enqueue('default', 'OkJob', {})
  worker.open()
  await waitFor(async () => (await client.status(id as string).status()) === 4)
  await waitForRenewals(redis, ns, await worker.nonce(), 1)
  expect([await client.queues.size('default'), worker.seen.length]).toEqual([1, 1])
  worker.handle.signal('SIGCONT')
  await worker.sees(2)
  await waitForRest(redis, ns)
})

test('the pause of all workers is read as Ruby reads it, and its end is noticed', async ({ redis, redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  await redis.set(`${ns}:pause-all-workers`, ' TRUE ')
  await client.enqueue('default', 'OkJob', { n: 1 })
  const worker = await startWireWorker(redisUrl, ns)
  await waitForRenewals(redis, ns, await worker.nonce(), 1)
  expect(await client.queues.size('default')).toBe(1)
  expect(worker.seen).toEqual([])
  await redis.set(`${ns}:pause-all-workers`, 'false')
  expect(await worker.sees(1)).toMatchObject([{ args: [{ n: 1 }] }])
})

test('after a drain mark of its pod a worker is granted no claim, and what it runs ends in peace', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  process.env['POD_NAMESPACE'] = 'jobs'
  process.env['POD_UID'] = 'uid-1'
  const worker = await startWireWorker(redisUrl, ns, { concurrency: 2 })
  delete process.env['POD_NAMESPACE']
  delete process.env['POD_UID']
  const id = await client.enqueue({ queue: 'default', class: 'Gate', args: [worker.gate], track: true })
  await worker.sees(1)
  await redis.set(`${ns}:ext:draining:jobs/uid-1`, 'controller', 'PX', 60_000)
  for (const n of [1, 2, 3]) await client.enqueue('default', 'OkJob', { n })
  worker.open()
  await waitFor(async () => (await client.status(id as string).status()) === 4)
  expect(await client.workers.list()).toMatchObject([{ kind: 'process', draining: true, running: [] }])
  await waitForRenewals(redis, ns, await worker.nonce(), 1)
  expect([await client.queues.size('default'), worker.seen.length]).toEqual([3, 1])
  expect(worker.handle.view.stopping).toBe(false)
  await redis.del(`${ns}:ext:draining:jobs/uid-1`)
  expect((await worker.sees(4)).slice(1).map(({ args }) => args)).toEqual([[{ n: 1 }], [{ n: 2 }], [{ n: 3 }]])
})
