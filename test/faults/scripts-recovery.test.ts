import { expect } from 'vitest'
import { promoteDelayed, promoteRetries } from '../../src/queue/promote.ts'
import { look } from '../../src/queue/recovery.ts'
import { register } from '../../src/queue/registry.ts'
import { renew } from '../../src/queue/renew.ts'
import { test } from '../support/fixtures.ts'
import { clock, fill } from '../support/payloads.ts'
import { DONE, endOf, FAILED, heldBy, modelProcess, payloadOf, RETRY } from '../support/process-model.ts'
import { snapshot } from '../support/redis.ts'
import { waitFor } from '../support/wait.ts'

test('after release no late call of the process changes a key', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 6)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  const jobs = await model.reserve(0, 1)
  expect((await model.release()).kind).toBe('released')
  const before = await snapshot(redis, ns)
  expect(
    (await model.turn({ ends: jobs.map((job) => endOf(job, FAILED)), next: 2, idle: [2, 3], base: 50 })).kind,
  ).toBe('gone')
  expect(
    (
      await renew(
        model.store,
        model.registration,
        { beat: true, statistics: [['x', 1, 1]], look: ['q'], drainMark: '' },
        {},
      )
    ).kind,
  ).toBe('gone')
  expect(await model.register()).toBe('gone')
  expect((await model.release()).kind).toBe('absent')
  expect(await snapshot(redis, ns)).toEqual(before)
})

test('a process that is not what its release says keeps its jobs', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 1)
  const model = modelProcess(redisUrl, ns)
  const { nonce, instance } = model.registration
  await model.register()
  await model.reserve(0)
  // Nobody has registered under its instance name since, and its pid is that of another registration.
  for (const reason of [
    { kind: 'lease' },
    { kind: 'instance', instance },
    { kind: 'dead', registration: JSON.stringify({ ...model.registration, pid: 1 }) },
  ] as const)
    expect([reason.kind, await model.release(reason)]).toEqual([reason.kind, { kind: 'alive' }])
  expect(await redis.hexists(`${ns}:ext:inflight:${nonce}`, '0')).toBe(1)
  const successor = modelProcess(redisUrl, ns)
  await register(successor.store, { ...successor.registration, instance })
  expect(await model.release({ kind: 'instance', instance })).toMatchObject({ kind: 'released', back: 1 })
  expect(await redis.hgetall(`${ns}:ext:instances`)).toEqual({ [instance]: successor.registration.nonce })
})

test('put-back keeps the order in which jobs were taken, in front of what waits', async ({ redis, ns, redisUrl }) => {
  const jobs = await fill(redis, ns, 0, 8)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  await model.reserve(2, 0)
  await model.reserve(3, 1)
  await model.release()
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(jobs)
})

test('a job that is lost with its process more often than allowed goes to the failed list as a DirtyExit', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const [job] = await fill(redis, ns, 0, 1)
  for (let loss = 1; loss <= 4; loss++) {
    const model = modelProcess(redisUrl, ns, { maxRecoveries: 3 })
    await model.register()
    expect(await model.reserve(0)).toHaveLength(1)
    await redis.del(`${ns}:ext:lease:${model.registration.nonce}`)
    // Losses count by Redis' clock in milliseconds: the next run must begin after this one was counted.
    const counted = await clock(redis)
    expect((await model.release({ kind: 'lease' })).kind).toBe('released')
    await waitFor(async () => (await clock(redis)) > counted + 5)
  }
  expect(await redis.llen(`${ns}:queue:q`)).toBe(0)
  const [entry] = await redis.lrange(`${ns}:failed`, 0, -1)
  expect(entry).toContain(`"payload":${job}`)
  expect(JSON.parse(entry ?? '')).toMatchObject({ exception: 'DirtyExit', queue: 'q', backtrace: [] })
  // Who retries it by hand gives it all its chances again.
  expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
})

test('a job that is lost too often and that Redis cannot read goes to quarantine, and does not circle', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const raw = `{"class":"Job","args":[${'['.repeat(1500)}${']'.repeat(1500)}]}`
  await redis.rpush(`${ns}:queue:q`, raw)
  for (let loss = 1; loss <= 2; loss++) {
    const model = modelProcess(redisUrl, ns, { maxRecoveries: 1 })
    await model.register()
    expect(await model.reserve(0)).toHaveLength(1)
    await redis.del(`${ns}:ext:lease:${model.registration.nonce}`)
    const counted = await clock(redis)
    const back = 2 - loss
    expect(await model.release({ kind: 'lease' })).toMatchObject({ kind: 'released', back, quarantined: 1 - back })
    await waitFor(async () => (await clock(redis)) > counted + 5)
  }
  expect(await redis.llen(`${ns}:queue:q`)).toBe(0)
  expect(await redis.lindex(`${ns}:ext:quarantine`, 0)).toContain(raw)
  expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
})

test('a job that is lost too often goes to the failure lists of the worker that lost it, by release and by turn', async ({
  redis,
  ns,
  redisUrl,
}) => {
  for (const [lists, common, own] of [
    ['r', 1, 0],
    ['m', 0, 1],
    ['rm', 1, 1],
    ['', 1, 0], // a module of the user's own, which nobody can call for a worker that is gone
  ] as const) {
    for (const way of ['release', 'turn'] as const) {
      const queue = `${lists}-${way}`
      const entry = payloadOf(1)
      await redis.rpush(`${ns}:queue:${queue}`, entry)
      const model = modelProcess(redisUrl, ns, { queues: [queue], maxRecoveries: 0, failureLists: lists })
      await model.register()
      expect(await model.reserve(0)).toHaveLength(1)
      if (way === 'turn') await model.end(0, { verb: 'return', counted: true })
      await redis.del(`${ns}:ext:lease:${model.registration.nonce}`)
      expect(await model.release({ kind: 'lease' })).toMatchObject({ kind: 'released', failed: way === 'turn' ? 0 : 1 })
      const kept = [await redis.lrange(`${ns}:failed`, 0, -1), await redis.lrange(`${ns}:${queue}_failed`, 0, -1)]
      expect(kept.map((list) => list.length)).toEqual([common, own])
      for (const text of kept.flat()) {
        expect(JSON.parse(text)).toMatchObject({ exception: 'DirtyExit', queue })
        expect(text).toContain(entry)
      }
      expect(await redis.smembers(`${ns}:failed_queues`)).toEqual(own === 1 ? [`${queue}_failed`] : [])
      await redis.del(`${ns}:failed`, `${ns}:failed_queues`, `${ns}:${queue}_failed`)
    }
  }
})

test('statistics and flow count what is lost too often as failed and ended, also beside other ends of its turn', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const counts = async (): Promise<unknown> => ({
    stats: await redis.mget(`${ns}:stat:processed`, `${ns}:stat:failed`),
    flow: (await redis.get(`${ns}:ext:flow:q`))?.split(' ').slice(0, 3).join(' '),
  })
  const lost = { verb: 'return', counted: true } as const
  await fill(redis, ns, 0, 8)
  const model = modelProcess(redisUrl, ns, { maxRecoveries: 0 })
  await model.register()
  await model.reserve(0, 1, 2, 3)
  // Each end of this turn counts for itself: two lost too often, one succeeded, one failed.
  const ends = [lost, DONE, lost, FAILED].map((ending, slot) => endOf(heldBy(model, slot), ending))
  await model.turn({ ends })
  expect(await counts()).toEqual({ stats: ['4', '3'], flow: '4 4 0' })
  expect(await redis.llen(`${ns}:failed`)).toBe(3)
  // Alone in its turn; then one that goes back, beside one that succeeded; then by release.
  await model.reserve(0, 1, 2)
  await model.end(0, lost)
  expect(await counts()).toEqual({ stats: ['5', '4'], flow: '7 5 0' })
  await model.turn({ ends: [endOf(heldBy(model, 1), { ...lost, counted: false }), endOf(heldBy(model, 2), DONE)] })
  expect(await counts()).toEqual({ stats: ['6', '4'], flow: '7 6 1' })
  await model.reserve(0)
  await redis.del(`${ns}:ext:lease:${model.registration.nonce}`)
  expect(await model.release({ kind: 'lease' })).toMatchObject({ failed: 1 })
  expect(await counts()).toEqual({ stats: ['7', '5'], flow: '8 7 1' })
  expect(await redis.llen(`${ns}:failed`)).toBe(5)
  // One that can only go to quarantine ended as well, but was no run that counts.
  const next = modelProcess(redisUrl, ns, { maxRecoveries: 9 })
  await next.register()
  await next.reserve(0)
  await redis.set(`${ns}:queue:q`, 'of another type')
  await next.end(0, lost)
  expect(await counts()).toEqual({ stats: ['7', '5'], flow: '9 8 1' })
  expect(await redis.llen(`${ns}:ext:quarantine`)).toBe(1)
})

test('ten equal jobs lost in one crash are one loss each and all come back', async ({ redis, ns, redisUrl }) => {
  const equal = '{"class":"Same","args":[]}'
  await redis.rpush(`${ns}:queue:q`, ...new Array<string>(10).fill(equal))
  const model = modelProcess(redisUrl, ns, { slots: 10, maxRecoveries: 3 })
  await model.register()
  expect(await model.reserve(...Array.from({ length: 10 }, (_, slot) => slot))).toHaveLength(10)
  await redis.del(`${ns}:ext:lease:${model.registration.nonce}`)
  expect(await model.release({ kind: 'lease' })).toMatchObject({ kind: 'released', back: 10, failed: 0 })
})

test('a process is released only after two looks that missed its lease, and nobody after a gap between looks', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const dead = modelProcess(redisUrl, ns)
  const living = modelProcess(redisUrl, ns)
  await dead.register()
  await living.register()
  await redis.del(`${ns}:ext:lease:${dead.registration.nonce}`)
  const now = async (): Promise<number> => Math.floor(await clock(redis))
  // The first look ever comes after a gap: nobody is named, and the hold begins.
  expect(await look(living.store)).toEqual([])
  const [, hold] = ((await redis.get(`${ns}:ext:look`)) ?? '').split(' ')
  expect(Number(hold)).toBeGreaterThan(await now())
  expect(Number(hold)).toBeLessThanOrEqual((await now()) + 6000)
  // As if looks had gone on every two seconds since: the hold is over, one look already missed the lease.
  await redis.set(`${ns}:ext:look`, `${(await now()) - 2500} ${(await now()) - 1}`)
  await redis.hset(`${ns}:ext:suspects`, dead.registration.nonce, (await now()) - 4000)
  expect(await look(living.store)).toEqual([dead.registration.nonce])
  expect(await look(living.store)).toEqual([]) // another worker's look just now
  // A process that came back is no suspect any more.
  await redis.set(`${ns}:ext:look`, `${(await now()) - 2500} 0`)
  await redis.set(`${ns}:ext:lease:${dead.registration.nonce}`, '1', 'PX', 8000)
  expect(await look(living.store)).toEqual([])
  expect(await redis.hexists(`${ns}:ext:suspects`, dead.registration.nonce)).toBe(0)
  // Redis was away for longer than looks may be apart: suspicions are cleared.
  await redis.del(`${ns}:ext:lease:${dead.registration.nonce}`)
  await redis.hset(`${ns}:ext:suspects`, dead.registration.nonce, (await now()) - 30_000)
  await redis.set(`${ns}:ext:look`, `${(await now()) - 20_000} 0`)
  expect(await look(living.store)).toEqual([])
})

test('a job that a foreign prune has failed for exactly this registration is not put back; an older failure proves nothing', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const jobs = await fill(redis, ns, 0, 3)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  const statusOf = (n: number): string => `${ns}:job:${(JSON.parse(jobs[n] ?? '') as { id: string }).id}:status`
  for (const n of [0, 1]) await redis.set(statusOf(n), '{"status":1,"updated":5,"started":5,"result":null}')
  await model.reserve(0, 1, 2)
  const id = (slot: number): string => `host.${model.registration.nonce}.${slot}:4711:q`
  // Ruby's prune unregisters slot 0 and fails its job; slot 1 is unregistered by PHP's, which fails nothing.
  await redis.srem(`${ns}:workers`, id(0), id(1))
  await redis.rpush(
    `${ns}:failed`,
    `{"failed_at":"x","payload":${jobs[0]},"exception":"Resque::PruneDeadWorkerDirtyExit","error":"gone","backtrace":[],"worker":"${id(0)}","queue":"q"}`,
  )
  await redis.rpush(
    `${ns}:failed`,
    `{"failed_at":"x","payload":${jobs[1]},"exception":"E","error":"earlier","backtrace":[],"worker":"host.other.1:4711:q","queue":"q"}`,
  )
  await redis.del(`${ns}:ext:lease:${model.registration.nonce}`)
  await model.release({ kind: 'lease' })
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([jobs[1], jobs[2]])
  expect(await redis.get(statusOf(0))).toMatch(/^\{"status":3,"updated":\d{10},"started":5,"result":null\}$/)
  expect(await redis.ttl(statusOf(0))).toBeGreaterThan(86_000)
  expect(await redis.get(statusOf(1))).toContain('"status":1')
})

test('equal payloads that wait for their retry stay apart, and each attempt is counted', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const equal = '{"class":"Same","args":[]}'
  await redis.rpush(`${ns}:queue:q`, equal, equal)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  await model.reserve(0, 1)
  await model.turn({ ends: [endOf(heldBy(model, 0), RETRY), endOf(heldBy(model, 1), RETRY)] })
  expect(await redis.zcard(`${ns}:ext:retry`)).toBe(2)
  expect((await promoteRetries(model.store)).moved).toBe(2)
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([equal, equal])
  const [again] = await model.reserve(0)
  expect(again).toMatchObject({ attempts: 1, remembered: true })
  await model.end(0, DONE)
  expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
})

test('a retry brings its attempts along when it waited for longer than they are kept', async ({
  redis,
  ns,
  redisUrl,
}) => {
  await fill(redis, ns, 0, 1)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  const week = 7 * 86_400
  for (const attempt of [1, 2]) {
    expect((await model.reserve(0))[0]).toMatchObject({ attempts: attempt - 1 })
    await model.end(0, { verb: 'retry', delayMs: 8 * week * 1000, attempt, error: 'E: e' })
    const [member = ''] = await redis.zrange(`${ns}:ext:retry`, '0', '-1')
    // As if the weeks were over.
    await redis.zadd(`${ns}:ext:retry`, 0, member)
    const kept = [`${ns}:ext:jobs`, ...(await redis.keys(`${ns}:ext:job:*`))]
    expect(await redis.del(...kept)).toBe(2)
    expect((await promoteRetries(model.store)).moved).toBe(1)
    for (const key of kept) expect(await redis.ttl(key)).toBeGreaterThan(week - 60)
  }
  expect((await model.reserve(0))[0]).toMatchObject({ attempts: 2, remembered: true })
  await model.end(0, DONE)
  expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
})

test('a retry lowers no count of an equal job, and leaves what is known of recoveries', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const [raw = ''] = await fill(redis, ns, 0, 1)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  await model.reserve(0)
  await model.end(0, RETRY)
  const [key = ''] = await redis.keys(`${ns}:ext:job:*`)
  await redis.set(key, '3 2 1795371757491')
  await promoteRetries(model.store)
  expect(await redis.get(key)).toBe('3 2 1795371757491')
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([raw])
})

test('delayed jobs are left to a foreign scheduler that leads, and moved raw, oldest first, when none does', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const model = modelProcess(redisUrl, ns)
  const items = [
    '{"class":"B","queue":"q","args":[12345678901234567,[],{}]}',
    '{"class":"A","args":[1.10],"queue":"q"}',
  ]
  for (const [i, item] of items.entries()) {
    await redis.zadd(`${ns}:delayed_queue_schedule`, 20 - i, 20 - i)
    await redis.rpush(`${ns}:delayed:${20 - i}`, item)
    await redis.sadd(`${ns}:timestamps:${item}`, `delayed:${20 - i}`)
  }
  for (const lock of [`${ns}:${ns}:resque_scheduler_master_lock`, `${ns}:resque_scheduler_leader_lock`]) {
    await redis.set(lock, 'other:1', 'EX', 180)
    expect(await promoteDelayed(model.store)).toEqual({ kind: 'locked', by: lock })
    await redis.del(lock)
  }
  await promoteDelayed(model.store)
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([items[1], items[0]])
  expect((await redis.keys(`${ns}:*delayed*`)).concat(await redis.keys(`${ns}:timestamps*`))).toEqual([])
})

test('many overdue seconds with a delayed job each are moved without a pause', async ({ redis, ns, redisUrl }) => {
  const { store } = modelProcess(redisUrl, ns)
  const now = Math.floor((await clock(redis)) / 1000)
  for (let i = 0; i < 25; i++) {
    await redis.zadd(`${ns}:delayed_queue_schedule`, now - 100 + i, `${now - 100 + i}`)
    await redis.rpush(`${ns}:delayed:${now - 100 + i}`, `{"class":"Job","args":[${i}],"queue":"q"}`)
  }
  let calls = 0
  for (let more = true; more; calls++) {
    const promotion = await promoteDelayed(store)
    more = promotion.kind === 'moved' && promotion.more
  }
  expect(calls).toBe(3)
  expect(
    (await redis.lrange(`${ns}:queue:q`, 0, -1)).map((raw) => (JSON.parse(raw) as { args: [number] }).args[0]),
  ).toEqual(Array.from({ length: 25 }, (_, i) => i))
})

test('one call moves few of what is large, and says that more is due', async ({ redis, ns, redisUrl }) => {
  const { store } = modelProcess(redisUrl, ns)
  const second = Math.floor((await clock(redis)) / 1000) - 100
  const large = Array.from({ length: 6 }, (_, i) => `{"class":"Job","args":["${i}${'x'.repeat(600_000)}"],"queue":"q"}`)
  for (const [i, raw] of large.entries()) await redis.zadd(`${ns}:ext:retry`, i, `m.${i} 1 1 3 qE:e${raw}`)
  await redis.zadd(`${ns}:delayed_queue_schedule`, second, second)
  await redis.rpush(`${ns}:delayed:${second}`, ...large)
  const drain = async (promote: () => Promise<{ moved: number; more: boolean }>): Promise<number[]> => {
    const sizes: number[] = []
    for (let more = true; more;) {
      const reply = await promote()
      sizes.push(reply.moved)
      more = reply.more
    }
    expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(large)
    await redis.del(`${ns}:queue:q`)
    return sizes
  }
  const retries = await drain(() => promoteRetries(store))
  const delayed = await drain(async () => {
    const promotion = await promoteDelayed(store)
    return promotion.kind === 'moved'
      ? { moved: promotion.items.length, more: promotion.more }
      : { moved: 0, more: false }
  })
  for (const sizes of [retries, delayed]) expect(Math.max(...sizes)).toBeLessThan(large.length)
})
