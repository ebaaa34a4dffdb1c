import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import { loadScript } from '../../src/redis/scripts.ts'
import { test } from '../support/fixtures.ts'
import { isAlive } from '../support/proc.ts'
import { startProxy } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { latch, waitFor } from '../support/wait.ts'
import { ledgerHere, startHere, waiting, type Way } from '../support/workerhere.ts'

const hooksNamed = (name: string): string => fileURLToPath(new URL(`../fixtures/hooks/${name}.ts`, import.meta.url))

/** A delayed job that is due. */
async function due(redis: Redis, ns: string, id: string): Promise<void> {
  await redis.zadd(`${ns}:delayed_queue_schedule`, 1, 1)
  await redis.rpush(`${ns}:delayed:1`, `{"class":"Note","args":[0],"queue":"q","id":"${id}"}`)
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

test('a worker that cannot go on stops its jobs before it gives them back', async ({ redis, ns, redisUrl }) => {
  const ledger = ledgerHere()
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, `{"class":"Gate","args":["${ledger.gate}"],"id":"a"}`)
  const { worker } = startHere(redisUrl, ns, { isolation: 'spawn', queues: ['*'] })
  const { pid } = await ledger.sees('start', 'a')
  await redis.set(`${ns}:queues`, 'of another type')
  await waitFor(async () => (await redis.llen(`${ns}:queue:q`)) === 1)
  expect(isAlive(pid)).toBe(false)
  await expect(worker.done).rejects.toThrow('another type')
})

test('what a turn brings after the worker was halted does not run', async ({ redis, ns, redisUrl }) => {
  const ledger = ledgerHere()
  let slow = false
  const halted = latch()
  const exchange = async (script: string, call: () => Promise<never>): Promise<never> => {
    const reply = await call()
    if (slow && script === 'turn') await halted.promise
    return reply
  }
  const { worker } = startHere(redisUrl, ns, { isolation: 'spawn', exchange })
  await waitFor(() => worker.view.registered)
  await waiting(redis)
  slow = true
  await redis.rpush(`${ns}:queue:q`, `{"class":"Gate","args":["${ledger.gate}"],"id":"a"}`)
  await redis.rpush(`${ns}:ext:token:q`, '1')
  await waitFor(async () => (await redis.llen(`${ns}:queue:q`)) === 0)
  worker.signal('SIGTERM')
  worker.signal('SIGTERM')
  halted.open()
  expect(await worker.done).toEqual({ exitCode: 143 })
  expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
  expect(ledger.of('start')).toEqual([])
})

test('a worker takes jobs while listeners are told of what was due at its start, and standstill counts from its registration', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const ledger = ledgerHere()
  await due(redis, ns, 'due')
  let age: number | undefined
  let known = false
  const began = performance.now()
  const exchange = async (script: string, call: () => Promise<never>): Promise<never> => {
    // As long as job code may take to load.
    if (script === 'register') await waitFor(() => performance.now() - began > 1500)
    else if (known) age ??= worker.view.loopAgeMs
    const reply = await call()
    known ||= script === 'register'
    return reply
  }
  const { worker, said } = startHere(redisUrl, ns, { isolation: 'inline', hooks: hooksNamed('neverdelayed'), exchange })
  await ledger.sees('end', 'due')
  expect(said.filter((message) => message.includes('listeners'))).toEqual([])
  expect(age).toBeLessThan(1500)
})

test('a burst waits for what is due, and renews its lease meanwhile', async ({ redis, ns, redisUrl }) => {
  const ledger = ledgerHere()
  await due(redis, ns, 'due')
  await redis.rpush(`${ns}:queue:q`, '{"class":"Note","args":[0],"id":"waiting"}')
  const { worker, said } = startHere(redisUrl, ns, {
    isolation: 'inline',
    burst: true,
    hooks: hooksNamed('neverdelayed'),
  })
  await waitFor(() => worker.view.registered)
  const [nonce = ''] = await redis.hkeys(`${ns}:ext:processes`)
  await redis.pexpire(`${ns}:ext:lease:${nonce}`, 600_000)
  await waitFor(async () => (await redis.pttl(`${ns}:ext:lease:${nonce}`)) < 100_000, { describe: 'a renewal' })
  expect(said.filter((message) => message.includes('listeners'))).toEqual([])
  expect(ledger.of('start')).toEqual([])
  expect(await worker.done).toEqual({ exitCode: 0 })
  expect(ledger.of('end').map(({ id }) => id)).toEqual(['waiting', 'due'])
})

test('a TERM while a burst leaves is its first', async ({ ns, redisUrl }) => {
  const [leaving, go] = [latch(), latch()]
  const exchange = async (script: string, call: () => Promise<never>): Promise<never> => {
    if (script === 'release') {
      leaving.open()
      await go.promise
    }
    return call()
  }
  const { worker } = startHere(redisUrl, ns, { isolation: 'inline', burst: true, exchange })
  await leaving.promise
  worker.signal('SIGTERM')
  go.open()
  expect(await worker.done).toEqual({ exitCode: 0 })
})

test('a worker that is told to leave while it registers leaves no registration', async ({ redis, ns, redisUrl }) => {
  const [registered, gone] = [latch(), latch()]
  const exchange = async (script: string, call: () => Promise<never>): Promise<never> => {
    const reply = await call()
    if (script === 'register') {
      registered.open()
      await gone.promise
    }
    return reply
  }
  const { worker } = startHere(redisUrl, ns, { isolation: 'inline', exchange })
  await registered.promise
  expect(await redis.hlen(`${ns}:ext:processes`)).toBe(1)
  worker.signal('SIGTERM')
  expect(await worker.done).toEqual({ exitCode: 0 })
  gone.open()
  expect(await redis.exists(`${ns}:ext:processes`, `${ns}:workers`, `${ns}:workers:heartbeat`)).toBe(0)
})

test('a worker that takes leave of a Redis that is away insists no longer once it is told a second time', async () => {
  const server = await startRedis()
  const { worker } = startHere(server.url, 'resque', { isolation: 'inline' })
  await waiting(server.client())
  await server.stop()
  worker.signal('SIGTERM')
  await waitFor(() => worker.view.stopping)
  worker.signal('SIGTERM')
  const before = performance.now()
  expect(await worker.done).toEqual({ exitCode: 143 })
  expect(performance.now() - before).toBeLessThan(7000)
})

test('a token that comes while a fenced worker registers anew does not put it to rest for ever', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const ledger = ledgerHere()
  let registers = 0
  const exchange = async (script: string, call: () => Promise<never>): Promise<never> => {
    // As after a lost socket: whatever is sent meanwhile overtakes it.
    if (script === 'register' && ++registers === 2) await pause(500)
    return call()
  }
  const { worker, said } = startHere(redisUrl, ns, { isolation: 'inline', exchange })
  await waitFor(() => worker.view.registered)
  const [nonce = ''] = await redis.hkeys(`${ns}:ext:processes`)
  await redis.del(`${ns}:ext:processes`, `${ns}:ext:inflight:${nonce}`, `${ns}:ext:lease:${nonce}`)
  await waitFor(() => registers === 2)
  await redis.rpush(`${ns}:ext:token:q`, '1')
  await waitFor(() => said.includes('registered again'))
  await redis.rpush(`${ns}:queue:q`, '{"class":"Note","args":[0],"id":"a"}')
  await ledger.sees('end', 'a')
})

test('the status of tracked jobs is kept whatever their ids look like and wherever they stand', async ({
  redis,
  ns,
  redisUrl,
}) => {
  ledgerHere()
  const jobs = {
    plain: '{"class":"Note","args":[0],"id":"plain","prefix":"","queue_time":1}',
    'order 17': '{"class":"Note","args":[0],"id":"order 17","prefix":"","queue_time":1}',
    'invoice/2026': '{"class":"Note","args":[0],"id":"invoice/2026"}',
    é: '{"class":"Note","args":[0],"id":"é"}',
    front: '{"class":"Note","id":"front","args":[0,{"id":"inner"}]}',
    'p"x_prefixed': '{"class":"Note","args":[0],"id":"prefixed","prefix":"p\\"x"}',
    apart_apart: '{"class":"Note","args":[0],"prefix":"apart","id":"apart"}',
  }
  for (const [name, raw] of Object.entries(jobs)) {
    await redis.set(`${ns}:job:${name}:status`, '{"status":1,"updated":1,"started":1,"result":null}')
    await redis.rpush(`${ns}:queue:q`, raw)
  }
  await startHere(redisUrl, ns, { isolation: 'inline', burst: true }).worker.done
  for (const name of Object.keys(jobs)) {
    expect(await redis.get(`${ns}:job:${name}:status`)).toContain('"status":4')
    expect(await redis.ttl(`${ns}:job:${name}:status`)).toBeGreaterThan(0)
  }
})

test('a burst does not end at elements that cannot be jobs, however many', async ({ redis, ns, redisUrl }) => {
  const ledger = ledgerHere()
  await redis.rpush(
    `${ns}:queue:q`,
    ...Array.from({ length: 250 }, () => 'no job'),
    '{"class":"Note","args":[0],"id":"a"}',
  )
  await startHere(redisUrl, ns, { isolation: 'inline', burst: true }).worker.done
  expect(ledger.of('end', 'a')).toHaveLength(1)
  expect(await redis.llen(`${ns}:ext:quarantine`)).toBe(250)
})

test('of many queues a busy worker names no more than it needs, and none is passed over', async ({
  redis,
  ns,
  redisUrl,
}) => {
  ledgerHere()
  const queues = Array.from({ length: 500 }, (_, i) => `queue-${i}`)
  const jobs = (n: number): string[] => Array.from({ length: n }, (_, i) => `{"class":"Note","args":[0],"id":"${i}"}`)
  await redis.rpush(`${ns}:queue:queue-0`, ...jobs(200))
  await redis.rpush(`${ns}:queue:queue-499`, ...jobs(3))
  const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
  const named: number[] = []
  const { sha } = loadScript('turn')
  proxy.on(
    ({ args }) => args.some((arg) => arg.toString() === sha),
    ({ args }) => void named.push(args.filter((arg) => /^queue-\d+$/.test(arg.toString())).length),
    Infinity,
  )
  const { worker } = startHere(proxy.url, ns, { isolation: 'inline', queues, concurrency: 2, burst: true })
  expect(await worker.done).toEqual({ exitCode: 0 })
  expect(await redis.exists(`${ns}:queue:queue-0`, `${ns}:queue:queue-499`)).toBe(0)
  expect(await redis.get(`${ns}:stat:processed`)).toBe('203')
  expect(named.length).toBeGreaterThan(50)
  expect(named.filter((n) => n > 70).length).toBeLessThanOrEqual(10)
})

test('a listener of the operator’s that never settles does not hold a worker that is told to stop at once', async ({
  redis,
  ns,
  redisUrl,
}) => {
  ledgerHere()
  await redis.rpush(`${ns}:queue:q`, '{"class":"Any","args":[],"id":"a"}')
  const { worker } = startHere(redisUrl, ns, { isolation: 'inline', hooks: hooksNamed('never') })
  await waitFor(() => worker.view.busy === 1)
  worker.signal('SIGTERM')
  worker.signal('SIGTERM')
  expect(await worker.done).toEqual({ exitCode: 143 })
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(['{"class":"Any","args":[],"id":"a"}'])
})

test('nor one that was told of a job which was cancelled: at the deadline the job goes back', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const ledger = ledgerHere()
  const raw = `{"class":"Gate","args":["${ledger.gate}"],"id":"a"}`
  await redis.rpush(`${ns}:queue:q`, raw)
  const hooks = hooksNamed('neverfailed')
  const { worker, said } = startHere(redisUrl, ns, { isolation: 'spawn', shutdownTimeoutMs: 200, hooks })
  const { pid } = await ledger.sees('start', 'a')
  worker.signal('SIGUSR1')
  await waitFor(() => said.includes('job failed'))
  worker.signal('SIGTERM')
  expect(await worker.done).toEqual({ exitCode: 0 })
  expect(isAlive(pid)).toBe(false)
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([raw])
  expect(await redis.exists(`${ns}:failed`)).toBe(0)
})

/** What a failover leaves that un-finishes a job: its record is there again. Resolves with the job's bytes. */
async function unfinish(redis: Redis, ns: string, slot: number): Promise<string> {
  const raw = '{"class":"Note","args":[0],"id":"undone"}'
  const [nonce = ''] = await redis.hkeys(`${ns}:ext:processes`)
  await redis.hset(`${ns}:ext:inflight:${nonce}`, slot, `1 ${Date.now()} 1 q${raw}`)
  return raw
}

test('a paused worker gives back what it does not know of', async ({ redis, ns, redisUrl }) => {
  const ledger = ledgerHere()
  const { worker } = startHere(redisUrl, ns, { isolation: 'inline', blocking: false })
  await waitFor(() => worker.view.registered)
  worker.signal('SIGUSR2')
  const raw = await unfinish(redis, ns, 0)
  await waitFor(async () => (await redis.llen(`${ns}:queue:q`)) === 1)
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([raw])
  expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
  expect(ledger.of('start')).toEqual([])
  worker.signal('SIGCONT')
  await ledger.sees('end', 'undone')
})

test('a worker that was paused from elsewhere runs what it holds, and takes nothing new', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const ledger = ledgerHere()
  await redis.set(`${ns}:pause-all-workers`, 'true')
  await redis.rpush(`${ns}:queue:q`, '{"class":"Note","args":[0],"id":"new"}')
  const { worker } = startHere(redisUrl, ns, { isolation: 'inline', concurrency: 20, blocking: false })
  await waitFor(() => worker.view.registered)
  await unfinish(redis, ns, 17)
  await ledger.sees('end', 'undone')
  await waitFor(async () => (await redis.get(`${ns}:stat:processed`)) === '1')
  expect(ledger.of('start').map(({ id }) => id)).toEqual(['undone'])
  expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
})

test('a worker that was told to leave gives back what it does not know of while its last job runs', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const ledger = ledgerHere()
  const { worker } = startHere(redisUrl, ns, { isolation: 'inline', concurrency: 2, blocking: false })
  await redis.rpush(`${ns}:queue:q`, `{"class":"Gate","args":["${ledger.gate}"],"id":"last"}`)
  await ledger.sees('start', 'last')
  worker.signal('SIGTERM')
  const [nonce = ''] = await redis.hkeys(`${ns}:ext:processes`)
  const idle = (await redis.hexists(`${ns}:ext:inflight:${nonce}`, '0')) ? 1 : 0
  const raw = await unfinish(redis, ns, idle)
  await waitFor(async () => (await redis.llen(`${ns}:queue:q`)) === 1)
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([raw])
  expect(ledger.of('end', 'last')).toEqual([])
  ledger.open()
  expect(await worker.done).toEqual({ exitCode: 0 })
  expect(ledger.of('start').map(({ id }) => id)).toEqual(['last'])
})

test('an end that no key takes is kept, and recorded once one does', async ({ redis, ns, redisUrl }) => {
  const ledger = ledgerHere()
  for (const key of ['failed', 'ext:quarantine']) await redis.set(`${ns}:${key}`, 'of another type')
  await redis.rpush(`${ns}:queue:q`, '{"class":"Fail","args":[],"id":"a"}')
  let refusals = 0
  const exchange = async (script: string, call: () => Promise<never>): Promise<never> => {
    const answer: { reply: unknown } = await call()
    if (script === 'turn' && ledger.of('start').length > 0 && JSON.stringify(answer.reply).includes('Fail')) refusals++
    return answer as never
  }
  startHere(redisUrl, ns, { isolation: 'inline', exchange })
  await waitFor(() => refusals > 0)
  await redis.del(`${ns}:failed`)
  await waitFor(async () => (await redis.llen(`${ns}:failed`)) === 1)
  expect(ledger.of('start')).toHaveLength(1)
})

test('jobs so large that all slots together cannot be filled in time are taken fewer at a time, in their order', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const ledger = ledgerHere()
  const ids = 'abcdefghijklmnopqrst'.split('')
  await redis.sadd(`${ns}:queues`, 'q')
  for (const id of ids)
    await redis.rpush(`${ns}:queue:q`, `{"class":"Note","args":[0,"${'x'.repeat(1000)}"],"id":"${id}"}`)
  let late = 0
  let begun: number | undefined
  // More than two of them are six seconds on their way.
  const exchange = async (script: string, call: () => Promise<never>, way: Way): Promise<never> => {
    if (late > 0 && way === 'call' && script === 'turn') begun ??= ledger.of('start').length
    const answer: { reply: unknown; sentAt: number } = await call()
    if (script !== 'turn' || JSON.stringify(answer.reply ?? '').length < 3000) return answer as never
    late++
    await delay(100) // what runs ends meanwhile
    return { ...answer, sentAt: answer.sentAt - 6000 } as never
  }
  startHere(redisUrl, ns, { isolation: 'inline', concurrency: 8, exchange })
  for (const id of ids) await ledger.sees('end', id)
  expect(late).toBeGreaterThan(0)
  expect(begun).toBe(0) // by then somebody else may have had them
  // Those that came too late are not overtaken by all that waits behind them.
  const started = ledger.of('start').map(({ id }) => id)
  expect(started.slice(0, 10)).toEqual(expect.arrayContaining(ids.slice(0, 8)))
})
