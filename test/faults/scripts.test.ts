import type { Redis } from 'ioredis'
import fc from 'fast-check'
import { expect } from 'vitest'
import { look } from '../../src/queue/recovery.ts'
import { promoteDelayed, promoteRetries } from '../../src/queue/promote.ts'
import { renew } from '../../src/queue/renew.ts'
import type { Ending } from '../../src/queue/turn.ts'
import { test } from '../support/fixtures.ts'
import { DONE, endOf, FAILED, modelProcess, payloadOf, RETRY, type ProcessModel } from '../support/process-model.ts'
import { snapshot } from '../support/redis.ts'
import { waitFor } from '../support/wait.ts'

const ENDINGS: readonly Ending[] = [DONE, FAILED, RETRY, { verb: 'return', counted: true }, { verb: 'return', counted: false }, { verb: 'quarantine' }]

/** Every payload that Redis holds anywhere in a namespace, sorted: what must be conserved. */
async function payloads(redis: Redis, ns: string, queues: readonly string[] = ['q']): Promise<string[]> {
  const found: string[] = []
  const read = async (key: string, type: string, get: () => Promise<string[]>): Promise<void> => {
    if ((await redis.type(key)) === type) found.push(...(await get()))
  }
  for (const queue of queues) await read(`${ns}:queue:${queue}`, 'list', () => redis.lrange(`${ns}:queue:${queue}`, 0, -1))
  await read(`${ns}:failed`, 'list', async () => (await redis.lrange(`${ns}:failed`, 0, -1)).filter((entry) => entry.startsWith('{')).map((entry) => JSON.stringify((JSON.parse(entry) as { payload: unknown }).payload)))
  await read(`${ns}:ext:quarantine`, 'list', async () => (await redis.lrange(`${ns}:ext:quarantine`, 0, -1)).map((entry) => entry.slice(entry.indexOf('{'))))
  await read(`${ns}:ext:retry`, 'zset', async () => (await redis.zrange(`${ns}:ext:retry`, '0', '-1')).map((member) => member.slice(member.indexOf('{'))))
  for (const nonce of Object.keys(await redis.hgetall(`${ns}:ext:processes`).catch(() => ({})))) {
    await read(`${ns}:ext:inflight:${nonce}`, 'hash', async () =>
      Object.entries(await redis.hgetall(`${ns}:ext:inflight:${nonce}`))
        .filter(([slot]) => /^\d+$/.test(slot))
        .map(([, record]) => record.slice(record.indexOf('{'))),
    )
  }
  return found.filter((raw) => raw.startsWith('{')).sort()
}

/** Redis' time, ms. */
async function clock(redis: Redis): Promise<number> {
  const [seconds, micros] = await redis.time()
  return Number(seconds) * 1000 + Number(micros) / 1000
}

async function fill(redis: Redis, ns: string, from: number, to: number, queue = 'q'): Promise<string[]> {
  const jobs = Array.from({ length: to - from }, (_, i) => payloadOf(from + i))
  if (jobs.length > 0) await redis.rpush(`${ns}:queue:${queue}`, ...jobs)
  await redis.sadd(`${ns}:queues`, queue)
  return jobs
}

test('a reserve that is sent twice pops once and answers the same jobs', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 8)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  const first = await model.turn({ idle: [0, 1, 2], base: 1 })
  const second = await model.turn({ idle: [0, 1, 2], base: 1 })
  expect(first.kind === 'ok' && first.held.map((job) => [job.slot, job.claim, job.raw])).toEqual(
    second.kind === 'ok' && second.held.map((job) => [job.slot, job.claim, job.raw]),
  )
  expect(await redis.llen(`${ns}:queue:q`)).toBe(5)
})

test('a finish that is sent twice does not end the next job unrun', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 4)
  const model = modelProcess(redisUrl, ns, { slots: 1 })
  await model.register()
  const [job] = await model.reserve(0)
  const request = { ends: [endOf(job!, DONE)], next: 1, base: 2 }
  const first = await model.turn(request)
  const again = await model.turn(request)
  expect(first.kind === 'ok' && first.held[0]?.claim).toBe(2)
  expect(again.kind === 'ok' && again.held[0]).toMatchObject({ claim: 2, raw: payloadOf(1) })
  expect(await redis.get(`${ns}:stat:processed`)).toBe('1')
  expect(await redis.llen(`${ns}:queue:q`)).toBe(2)
})

test('a claim number that was asked for before pops nothing, even when it found nothing then', async ({ redis, ns, redisUrl }) => {
  const model = modelProcess(redisUrl, ns)
  await model.register()
  await model.turn({ idle: [0], base: 1 })
  await fill(redis, ns, 0, 1)
  const late = await model.turn({ idle: [0], base: 1 })
  expect(late.kind === 'ok' && late.held).toEqual([])
  expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
  expect(await model.reserve(0)).toHaveLength(1)
})

test('any sequence of calls, each sent twice, leaves what it leaves when each is sent once', async ({ redis, ns, redisUrl }) => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('reserve' as const), slots: fc.uniqueArray(fc.integer({ min: 0, max: 3 }), { minLength: 1 }) }),
    fc.record({ kind: fc.constant('end' as const), ends: fc.array(fc.record({ slot: fc.integer({ min: 0, max: 3 }), ending: fc.constantFrom(...ENDINGS) }), { minLength: 1, maxLength: 4 }), next: fc.boolean() }),
    fc.record({ kind: fc.constantFrom('release' as const, 'register' as const, 'renew' as const) }),
    fc.record({ kind: fc.constant('enqueue' as const), count: fc.integer({ min: 1, max: 4 }) }),
  )
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
      const worlds = [`${ns}:once${++run}`, `${ns}:twice${run}`]
      const states: unknown[] = []
      for (const [index, world] of worlds.entries()) {
        const model = modelProcess(redisUrl, world, { nonce: 'same' })
        const times = index + 1
        await model.register()
        let enqueued = 0
        let base = 0
        for (const one of steps) {
          if (one.kind === 'enqueue') {
            await fill(redis, world, enqueued, (enqueued += one.count))
            continue
          }
          await sent(model, one, times, (base += 10))
        }
        const found = await payloads(redis, world)
        const flow = ((await redis.get(`${world}:ext:flow:q`)) ?? '').split(' ').slice(0, 3).join(' ')
        const counts = await redis.mget(`${world}:stat:processed`, `${world}:stat:failed`)
        const claims = Object.entries(await redis.hgetall(`${world}:ext:inflight:same`)).map(([slot, record]) => (/^\d+$/.test(slot) ? record.replace(/^(\d+) \d+/, '$1') : `${slot} ${record}`))
        states.push({ found, flow, counts, claims: claims.sort(), queue: await redis.lrange(`${world}:queue:q`, 0, -1) })
      }
      expect(states[1]).toEqual(states[0])
    }),
    { numRuns: 60 },
  )
}, 60_000)

type Step =
  | { kind: 'reserve'; slots: number[] }
  | { kind: 'end'; ends: { slot: number; ending: Ending }[]; next: boolean }
  | { kind: 'release' }
  | { kind: 'register' }
  | { kind: 'renew' }

/** Sends one step's call the given number of times, unchanged, as a retry after a lost reply would. */
async function sent(model: ProcessModel, step: Step, times: number, base: number): Promise<void> {
  if (step.kind === 'release') for (let i = 0; i < times; i++) await model.release()
  else if (step.kind === 'register') for (let i = 0; i < times; i++) await model.register()
  else if (step.kind === 'renew') {
    for (let i = 0; i < times; i++) await renew(model.store, model.registration, { beat: true, statistics: [], look: ['q'], drainMark: '' }, {})
  } else if (step.kind === 'reserve') {
    const idle = step.slots.filter((slot) => !model.held.has(slot))
    for (let i = 0; i < times; i++) await model.turn({ idle, base })
  } else if (step.kind === 'end') {
    const ends = step.ends.filter((end, i, all) => model.held.has(end.slot) && all.findIndex((other) => other.slot === end.slot) === i)
    // Whether a status is known to be kept differs after a repeated reply, and with it the order of claims over slots.
    const requests = ends.map(({ slot, ending }) => ({ ...endOf(model.held.get(slot)!, ending), status: '' }))
    for (let i = 0; i < times; i++) await model.turn({ ends: requests, next: step.next ? requests.length : 0, base })
  }
}
test('after release no late call of the process changes a key', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 6)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  const jobs = await model.reserve(0, 1)
  expect((await model.release()).kind).toBe('released')
  const before = await snapshot(redis, ns)
  expect((await model.turn({ ends: jobs.map((job) => endOf(job, FAILED)), next: 2, idle: [2, 3], base: 50 })).kind).toBe('gone')
  expect((await renew(model.store, model.registration, { beat: true, statistics: [['x', 1, 1]], look: ['q'], drainMark: '' }, {})).kind).toBe('gone')
  expect(await model.register()).toBe('gone')
  expect((await model.release()).kind).toBe('absent')
  expect(await snapshot(redis, ns)).toEqual(before)
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

test('a job that is lost with its process more often than allowed goes to the failed list as a DirtyExit', async ({ redis, ns, redisUrl }) => {
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
  expect(JSON.parse(entry!)).toMatchObject({ exception: 'DirtyExit', queue: 'q', backtrace: [] })
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

test('after the drain mark no job is granted, and a lost reply on a drained pod still gets its record', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 4)
  const model = modelProcess(redisUrl, ns, { drainMark: 'default/uid-1' })
  await model.register()
  await model.turn({ idle: [0], base: 1 })
  await redis.set(`${ns}:ext:draining:default/uid-1`, 'controller', 'PX', 60_000)
  const lost = await model.turn({ idle: [0], base: 1 })
  expect(lost.kind === 'ok' && lost.state).toBe('draining')
  expect(lost.kind === 'ok' && lost.held).toHaveLength(1)
  const after = await model.turn({ ends: [endOf(model.held.get(0)!, DONE)], next: 1, idle: [1, 2, 3], base: 2 })
  expect(after.kind === 'ok' && after.held).toEqual([])
  expect(await redis.llen(`${ns}:queue:q`)).toBe(3)
})

test('a paused queue, a paused process and pause-all-workers grant nothing; other queues go on', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 2, 'q')
  await fill(redis, ns, 10, 12, 'r')
  const model = modelProcess(redisUrl, ns, { queues: ['q', 'r'] })
  await model.register()
  await redis.set(`${ns}:ext:paused`, '["q"]')
  expect((await model.reserve(0)).map((job) => job.queue)).toEqual(['r'])
  await redis.del(`${ns}:ext:paused`)
  await redis.set(`${ns}:pause-all-workers`, ' True ')
  expect(await model.reserve(1)).toEqual([])
  await redis.del(`${ns}:pause-all-workers`)
  await redis.hset(`${ns}:ext:inflight:${model.registration.nonce}`, 'paused', '1')
  expect(await model.reserve(1)).toEqual([])
  await redis.hdel(`${ns}:ext:inflight:${model.registration.nonce}`, 'paused')
  expect(await model.reserve(1)).toHaveLength(1)
})

const KEYS_TO_SPOIL = [
  'queue:q', 'queues', 'failed', 'q_failed', 'failed_queues', 'stat:processed', 'stat:failed', 'workers', 'workers:heartbeat',
  'worker:host.spoil.0:4711:q', 'ext:quarantine', 'ext:retry', 'ext:paused', 'ext:token:q', 'ext:flow:q', 'ext:jobs', 'pause-all-workers',
  'delayed_queue_schedule', 'ext:suspects',
]
const TYPES = ['string', 'list', 'hash', 'set', 'zset', 'stream'] as const

async function spoil(redis: Redis, key: string, type: (typeof TYPES)[number]): Promise<void> {
  await redis.del(key)
  if (type === 'string') await redis.set(key, 'spoiled')
  else if (type === 'list') await redis.rpush(key, 'spoiled')
  else if (type === 'hash') await redis.hset(key, 'spoiled', '1')
  else if (type === 'set') await redis.sadd(key, 'spoiled')
  else if (type === 'zset') await redis.zadd(key, 1, 'spoiled')
  else await redis.xadd(key, '*', 'spoiled', '1')
}

test('keys of unexpected types anywhere lose no job', async ({ redis, ns, redisUrl }) => {
  let run = 0
  const spoiling = fc.array(fc.tuple(fc.constantFrom(...KEYS_TO_SPOIL), fc.constantFrom(...TYPES), fc.constantFrom('start', 'running')), { minLength: 1, maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(spoiling, fc.array(fc.constantFrom(...ENDINGS), { minLength: 4, maxLength: 4 }), async (spoils, endings) => {
      const world = `${ns}:${++run}`
      const model = modelProcess(redisUrl, world, { nonce: 'spoil', queues: ['q', 'r'] })
      await model.register()
      const jobs = [...(await fill(redis, world, 0, 3, 'q')), ...(await fill(redis, world, 3, 6, 'r'))]
      const gone: string[] = []
      const spoilAll = async (moment: string): Promise<void> => {
        for (const [key, type, when] of spoils) {
          if (when !== moment) continue
          // Jobs in a key that somebody else replaces are gone with it: they are not ours to keep.
          if (key === 'queue:q' && (await redis.type(`${world}:queue:q`)) === 'list') gone.push(...(await redis.lrange(`${world}:queue:q`, 0, -1)))
          await spoil(redis, `${world}:${key}`, type)
        }
      }
      await spoilAll('start')
      await model.reserve(0, 1, 2, 3).catch(() => [])
      await spoilAll('running')
      const done: string[] = []
      for (const [slot, job] of [...model.held]) {
        const ending = endings[slot % 4]!
        const reply = await model.end(slot, ending)
        const stillHeld = reply.kind === 'ok' && reply.held.some((other) => other.slot === slot && other.claim === job.claim)
        if (ending.verb === 'done' && !stillHeld) done.push(job.raw)
      }
      await promoteRetries(model.store).catch(() => undefined)
      await promoteDelayed(model.store).catch(() => undefined)
      await model.release()
      const kept = [...(await payloads(redis, world, ['q', 'r'])), ...done, ...gone].filter((raw) => raw !== 'spoiled')
      expect([...new Set(kept)].sort()).toEqual([...jobs].sort())
    }),
    { numRuns: 150 },
  )
}, 60_000)

test('a process is released only after two looks that missed its lease, and nobody after a gap between looks', async ({ redis, ns, redisUrl }) => {
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

test('a job that a foreign prune has failed for exactly this registration is not put back; an older failure proves nothing', async ({ redis, ns, redisUrl }) => {
  const jobs = await fill(redis, ns, 0, 3)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  await model.reserve(0, 1, 2)
  const id = (slot: number): string => `host.${model.registration.nonce}.${slot}:4711:q`
  // Ruby's prune unregisters slot 0 and fails its job; slot 1 is unregistered by PHP's, which fails nothing.
  await redis.srem(`${ns}:workers`, id(0), id(1))
  await redis.rpush(`${ns}:failed`, `{"failed_at":"x","payload":${jobs[0]},"exception":"Resque::PruneDeadWorkerDirtyExit","error":"gone","backtrace":[],"worker":"${id(0)}","queue":"q"}`)
  await redis.rpush(`${ns}:failed`, `{"failed_at":"x","payload":${jobs[1]},"exception":"E","error":"earlier","backtrace":[],"worker":"host.other.1:4711:q","queue":"q"}`)
  await redis.del(`${ns}:ext:lease:${model.registration.nonce}`)
  await model.release({ kind: 'lease' })
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([jobs[1], jobs[2]])
})

test('renewal restores what a foreign prune removed', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 1)
  const model = modelProcess(redisUrl, ns, { slots: 2 })
  await model.register()
  await model.reserve(0)
  const before = await snapshot(redis, ns)
  const id = `host.${model.registration.nonce}.0:4711:q`
  await redis.srem(`${ns}:workers`, id)
  await redis.del(`${ns}:worker:${id}`, `${ns}:worker:${id}:started`)
  await redis.hdel(`${ns}:workers:heartbeat`, id)
  await renew(model.store, model.registration, { beat: true, statistics: [], look: [], drainMark: '' }, {})
  const after = await snapshot(redis, ns)
  expect(Object.keys(after)).toEqual(Object.keys(before))
  expect(await redis.get(`${ns}:worker:${id}`)).toContain(`"payload":${payloadOf(0)}`)
})

test('equal payloads that wait for their retry stay apart, and each attempt is counted', async ({ redis, ns, redisUrl }) => {
  const equal = '{"class":"Same","args":[]}'
  await redis.rpush(`${ns}:queue:q`, equal, equal)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  await model.reserve(0, 1)
  await model.turn({ ends: [endOf(model.held.get(0)!, RETRY), endOf(model.held.get(1)!, RETRY)] })
  expect(await redis.zcard(`${ns}:ext:retry`)).toBe(2)
  expect((await promoteRetries(model.store)).moved).toBe(2)
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([equal, equal])
  const [again] = await model.reserve(0)
  expect(again).toMatchObject({ attempts: 1, remembered: true })
  await model.end(0, DONE)
  expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
})

test('delayed jobs are left to a foreign scheduler that leads, and moved raw, oldest first, when none does', async ({ redis, ns, redisUrl }) => {
  const model = modelProcess(redisUrl, ns)
  const items = ['{"class":"B","queue":"q","args":[12345678901234567,[],{}]}', '{"class":"A","args":[1.10],"queue":"q"}']
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

test('a token list never holds more than one, whatever rings it', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 30)
  const model = modelProcess(redisUrl, ns, { slots: 2 })
  await model.register()
  for (let i = 0; i < 5; i++) {
    await model.reserve(0, 1)
    expect(await redis.llen(`${ns}:ext:token:q`)).toBe(1)
    await model.turn({ ends: [...model.held.values()].map((job) => endOf(job, { verb: 'return', counted: false })), wokenBy: 'q' })
    expect(await redis.llen(`${ns}:ext:token:q`)).toBe(1)
  }
})

test('statuses of tracked jobs follow the job; an id inside args is not taken for the job’s', async ({ redis, ns, redisUrl }) => {
  const tracked = payloadOf(1)
  const ruby = `{"class":"R","args":[{"id":"${'0'.repeat(31)}2"}]}`
  await redis.rpush(`${ns}:queue:q`, tracked, ruby)
  for (const n of [1, 2]) await redis.set(`${ns}:job:${'0'.repeat(31)}${n}:status`, '{"status":1,"updated":5,"started":5,"result":null}')
  const model = modelProcess(redisUrl, ns)
  await model.register()
  await model.reserve(0, 1)
  expect(await redis.get(`${ns}:job:${'0'.repeat(31)}1:status`)).toMatch(/^\{"status":2,"updated":\d+,"started":5,"result":null\}$/)
  await model.end(0, { verb: 'done', result: '{"a":1}' })
  await model.end(1, DONE)
  expect(await redis.get(`${ns}:job:${'0'.repeat(31)}1:status`)).toMatch(/^\{"status":4,"updated":\d+,"started":5,"result":\{"a":1\}\}$/)
  expect(await redis.ttl(`${ns}:job:${'0'.repeat(31)}1:status`)).toBeGreaterThan(86_000)
  expect(await redis.get(`${ns}:job:${'0'.repeat(31)}2:status`)).toContain('"status":1')
})

test('what cannot be a job is put into quarantine with its queue, a hundred a call at most, and the rest is taken', async ({ redis, ns, redisUrl }) => {
  const bad = ['', 'null', '[]', '"class"', '{"args":[]}', '{"class":5}', 'é\u0000', '{"class":"X"']
  await redis.rpush(`${ns}:queue:q`, ...bad, payloadOf(1), '{"args":[],"class":"Late"}')
  const model = modelProcess(redisUrl, ns)
  await model.register()
  expect((await model.reserve(0, 1, 2)).map((job) => job.raw)).toEqual([payloadOf(1), '{"args":[],"class":"Late"}'])
  const kept = await redis.lrange(`${ns}:ext:quarantine`, 0, -1)
  expect(kept.map((entry) => entry.replace(/^\d+ 1 q/, ''))).toEqual(bad)
  await redis.rpush(`${ns}:queue:q`, ...new Array<string>(250).fill('junk'), payloadOf(2))
  await model.reserve(3)
  expect(await redis.llen(`${ns}:queue:q`)).toBe(151)
})

test('a full Redis still lets a process renew, finish and put back, while looks reap nobody', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 3)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  await model.reserve(0, 1, 2)
  const [, before] = (await redis.config('GET', 'maxmemory')) as string[]
  await redis.config('SET', 'maxmemory-policy', 'noeviction')
  await redis.config('SET', 'maxmemory', '1')
  try {
    await expect(redis.set(`${ns}:x`, '1')).rejects.toThrow('OOM')
    await redis.del(`${ns}:ext:lease:${model.registration.nonce}`)
    expect((await renew(model.store, model.registration, { beat: true, statistics: [], look: ['q'], drainMark: '' }, {})).kind).toBe('ok')
    expect(await redis.exists(`${ns}:ext:lease:${model.registration.nonce}`)).toBe(1)
    expect((await model.end(0, FAILED)).kind).toBe('ok')
    await expect(look(model.store)).rejects.toMatchObject({ code: 'REDIS_FULL' })
    expect((await model.release()).kind).toBe('released')
  } finally {
    await redis.config('SET', 'maxmemory', before ?? '0')
  }
  expect(await redis.llen(`${ns}:failed`)).toBe(1)
  expect(await redis.llen(`${ns}:queue:q`)).toBe(2)
})
