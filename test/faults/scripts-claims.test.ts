import fc from 'fast-check'
import { expect } from 'vitest'
import { renew } from '../../src/queue/renew.ts'
import type { Ending } from '../../src/queue/turn.ts'
import { test } from '../support/fixtures.ts'
import { fill, payloads } from '../support/payloads.ts'
import {
  DONE,
  ENDINGS,
  endOf,
  FAILED,
  heldBy,
  modelProcess,
  payloadOf,
  type ProcessModel,
} from '../support/process-model.ts'

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
  expect(job?.claim).toBe(1)
  const request = { ends: [endOf(heldBy(model, 0), DONE)], next: 1, base: 2 }
  const first = await model.turn(request)
  const again = await model.turn(request)
  expect(first.kind === 'ok' && first.held[0]?.claim).toBe(2)
  expect(again.kind === 'ok' && again.held[0]).toMatchObject({ claim: 2, raw: payloadOf(1) })
  expect(await redis.get(`${ns}:stat:processed`)).toBe('1')
  expect(await redis.llen(`${ns}:queue:q`)).toBe(2)
})

test('where fewer jobs are left than slots that ended, those that got one keep it and the others are free', async ({
  redis,
  ns,
  redisUrl,
}) => {
  await fill(redis, ns, 0, 6)
  const model = modelProcess(redisUrl, ns)
  const { nonce, name, tail } = model.registration
  await model.register()
  await model.reserve(0, 1, 2, 3)
  const ends = [3, 1, 0, 2].map((slot) => endOf(heldBy(model, slot), DONE))
  await model.turn({ ends, next: 4 })
  const records = Object.entries(await redis.hgetall(`${ns}:ext:inflight:${nonce}`)).filter(([at]) => /^\d$/.test(at))
  expect(Object.fromEntries(records.map(([at, record]) => [at, record.slice(record.indexOf('{'))]))).toEqual({
    1: payloadOf(5),
    3: payloadOf(4),
  })
  expect((await redis.keys(`${ns}:worker:${name}*:q`)).sort()).toEqual(
    [1, 3].map((slot) => `${ns}:worker:${name}.${slot}${tail}`),
  )
})

test('an end that was recorded already does not keep another of its turn from being recorded', async ({
  redis,
  ns,
  redisUrl,
}) => {
  await fill(redis, ns, 0, 3)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  await model.turn({ idle: [0, 1, 2], base: 70 })
  const [first, second, third] = [0, 1, 2].map((slot) => endOf(heldBy(model, slot), DONE))
  if (!first || !second || !third) throw new Error('there are three')
  await model.turn({ ends: [first] })
  expect(await model.turn({ ends: [first, second, third] })).toMatchObject({ kind: 'ok', held: [] })
  expect(await redis.get(`${ns}:stat:processed`)).toBe('3')
})

test('jobs that one turn takes from several queues are each known by its queue', async ({ redis, ns, redisUrl }) => {
  const queues = ['q', 'r']
  for (const queue of queues) await fill(redis, ns, 0, 1, queue)
  const model = modelProcess(redisUrl, ns, { queues })
  await model.register()
  expect((await model.reserve(0, 1)).map(({ slot, queue }) => [slot, queue])).toEqual([
    [0, 'q'],
    [1, 'r'],
  ])
})

test('a claim number that was asked for before pops nothing, even when it found nothing then', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const model = modelProcess(redisUrl, ns)
  await model.register()
  await model.turn({ idle: [0], base: 1 })
  await fill(redis, ns, 0, 1)
  const late = await model.turn({ idle: [0], base: 1 })
  expect(late.kind === 'ok' && late.held).toEqual([])
  expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
  expect(await model.reserve(0)).toHaveLength(1)
})

test('a call that comes behind one with later claims pops nothing, and is told to ask anew', async ({
  redis,
  ns,
  redisUrl,
}) => {
  await fill(redis, ns, 0, 4)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  const later = await model.turn({ idle: [2, 3], base: 3 })
  const earlier = await model.turn({ idle: [0, 1], base: 1 })
  expect(later).toMatchObject({ more: false, held: [{ claim: 3 }, { claim: 4 }] })
  expect(earlier).toMatchObject({ more: true, held: [] })
  const anew = await model.turn({ idle: [0, 1], base: 5 })
  expect(anew).toMatchObject({ more: false, held: [{ claim: 5 }, { claim: 6 }] })
  expect(await redis.llen(`${ns}:queue:q`)).toBe(0)
})

test('any sequence of calls, each sent twice, leaves what it leaves when each is sent once', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('reserve' as const),
      slots: fc.uniqueArray(fc.integer({ min: 0, max: 3 }), { minLength: 1 }),
    }),
    fc.record({
      kind: fc.constant('end' as const),
      ends: fc.array(fc.record({ slot: fc.integer({ min: 0, max: 3 }), ending: fc.constantFrom(...ENDINGS) }), {
        minLength: 1,
        maxLength: 4,
      }),
      next: fc.boolean(),
    }),
    fc.record({ kind: fc.constantFrom('release' as const, 'register' as const, 'renew' as const) }),
    fc.record({ kind: fc.constant('enqueue' as const), count: fc.integer({ min: 1, max: 4 }) }),
  )
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
      const worlds = [`${ns}:once${++run}`, `${ns}:twice${run}`]
      const states: unknown[] = []
      for (const [index, world] of worlds.entries()) {
        // Which losses count depends on the millisecond, in which the worlds may differ.
        const model = modelProcess(redisUrl, world, { nonce: 'same', maxRecoveries: 99 })
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
        const claims = Object.entries(await redis.hgetall(`${world}:ext:inflight:same`)).map(([slot, record]) =>
          /^\d+$/.test(slot) ? record.replace(/^(\d+) \d+/, '$1') : `${slot} ${record}`,
        )
        states.push({
          found,
          flow,
          counts,
          claims: claims.sort(),
          queue: await redis.lrange(`${world}:queue:q`, 0, -1),
        })
      }
      expect(states[1]).toEqual(states[0])
    }),
    { numRuns: 60 },
  )
})

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
    for (let i = 0; i < times; i++)
      await renew(model.store, model.registration, { beat: true, statistics: [], look: ['q'], drainMark: '' }, {})
  } else if (step.kind === 'reserve') {
    const idle = step.slots.filter((slot) => !model.held.has(slot))
    for (let i = 0; i < times; i++) await model.turn({ idle, base })
  } else if (step.kind === 'end') {
    const ends = step.ends.filter(
      (end, i, all) => model.held.has(end.slot) && all.findIndex((other) => other.slot === end.slot) === i,
    )
    // Whether a status is known to be kept differs after a repeated reply, and with it the order of claims over slots.
    const requests = ends.map(({ slot, ending }) => ({ ...endOf(heldBy(model, slot), ending), status: '' }))
    for (let i = 0; i < times; i++) await model.turn({ ends: requests, next: step.next ? requests.length : 0, base })
  }
}
test('after the drain mark no job is granted, and a lost reply on a drained pod still gets its record', async ({
  redis,
  ns,
  redisUrl,
}) => {
  await fill(redis, ns, 0, 4)
  const model = modelProcess(redisUrl, ns, { drainMark: 'default/uid-1' })
  await model.register()
  await model.turn({ idle: [0], base: 1 })
  await redis.set(`${ns}:ext:draining:default/uid-1`, 'controller', 'PX', 60_000)
  const lost = await model.turn({ idle: [0], base: 1 })
  expect(lost.kind === 'ok' && lost.state).toBe('draining')
  expect(lost.kind === 'ok' && lost.held).toHaveLength(1)
  const after = await model.turn({ ends: [endOf(heldBy(model, 0), DONE)], next: 1, idle: [1, 2, 3], base: 2 })
  expect(after.kind === 'ok' && after.held).toEqual([])
  expect(await redis.llen(`${ns}:queue:q`)).toBe(3)
})

test('a paused queue, a paused process and pause-all-workers grant nothing; other queues go on', async ({
  redis,
  ns,
  redisUrl,
}) => {
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

test('a turn restores a lease that has lapsed, and extends none', async ({ redis, ns, redisUrl }) => {
  const model = modelProcess(redisUrl, ns)
  await model.register()
  const lease = `${ns}:ext:lease:${model.registration.nonce}`
  await fill(redis, ns, 0, 1)
  await model.reserve(0)
  await redis.pexpire(lease, 3000)
  await model.end(0, FAILED)
  expect(await redis.pttl(lease)).toBeLessThanOrEqual(3000)
  await redis.del(lease)
  await model.turn()
  expect(await redis.pttl(lease)).toBeGreaterThan(3000)
})

test('a token list never holds more than one, whatever rings it', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 30)
  const model = modelProcess(redisUrl, ns, { slots: 2 })
  await model.register()
  for (let i = 0; i < 5; i++) {
    await model.reserve(0, 1)
    expect(await redis.llen(`${ns}:ext:token:q`)).toBe(1)
    await model.turn({
      ends: [...model.held.values()].map((job) => endOf(job, { verb: 'return', counted: false })),
      wokenBy: 'q',
      ring: true,
    })
    expect(await redis.llen(`${ns}:ext:token:q`)).toBe(1)
  }
})

test('statuses of tracked jobs follow the job; an id inside args is not taken for the job’s', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const tracked = payloadOf(1)
  const ruby = `{"class":"R","args":[{"id":"${'0'.repeat(31)}2"}]}`
  await redis.rpush(`${ns}:queue:q`, tracked, ruby)
  for (const n of [1, 2])
    await redis.set(`${ns}:job:${'0'.repeat(31)}${n}:status`, '{"status":1,"updated":5,"started":5,"result":null}')
  const model = modelProcess(redisUrl, ns)
  await model.register()
  await model.reserve(0, 1)
  expect(await redis.get(`${ns}:job:${'0'.repeat(31)}1:status`)).toMatch(
    /^\{"status":2,"updated":\d+,"started":5,"result":null\}$/,
  )
  await model.end(0, { verb: 'done', result: '{"a":1}' })
  await model.end(1, DONE)
  expect(await redis.get(`${ns}:job:${'0'.repeat(31)}1:status`)).toMatch(
    /^\{"status":4,"updated":\d+,"started":5,"result":\{"a":1\}\}$/,
  )
  expect(await redis.ttl(`${ns}:job:${'0'.repeat(31)}1:status`)).toBeGreaterThan(86_000)
  expect(await redis.get(`${ns}:job:${'0'.repeat(31)}2:status`)).toContain('"status":1')
})

test('what cannot be a job is put into quarantine with its queue, a hundred a call at most, and the rest is taken', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const bad = ['', 'null', '[]', '"class"', '{"args":[]}', '{"class":5}', 'é\u0000', '{"class":"X"']
  await redis.rpush(`${ns}:queue:q`, ...bad, payloadOf(1), '{"args":[],"class":"Late"}')
  const model = modelProcess(redisUrl, ns)
  await model.register()
  expect((await model.reserve(0, 1, 2)).map((job) => job.raw)).toEqual([payloadOf(1), '{"args":[],"class":"Late"}'])
  const kept = await redis.lrange(`${ns}:ext:quarantine`, 0, -1)
  expect(kept.map((entry) => entry.replace(/^\d+ 1 q/, ''))).toEqual(bad)
  await redis.rpush(`${ns}:queue:q`, ...new Array<string>(250).fill('junk'), payloadOf(2))
  expect(await model.turn({ idle: [3] })).toMatchObject({ held: [], more: true, quarantined: 100 })
  expect(await redis.llen(`${ns}:queue:q`)).toBe(151)
})

test('a job that is put back by the turn that asks for the next one is that next one: none is dropped, none doubled', async ({
  redis,
  ns,
  redisUrl,
}) => {
  for (const counted of [true, false]) {
    const model = modelProcess(redisUrl, ns, { queues: ['q', 'r'] })
    await model.register()
    const raws = await fill(redis, ns, 0, 4)
    await model.reserve(0, 1)
    const reply = await model.turn({
      ends: [
        endOf(heldBy(model, 1), { verb: 'return', counted }),
        endOf(heldBy(model, 0), { verb: 'return', counted }),
      ],
      next: 2,
      idle: [2],
    })
    expect(reply.kind === 'ok' && reply.held.map((job) => job.raw)).toEqual(raws.slice(0, 3))
    // What was counted is known, and so forgotten at a clean end.
    if (counted) expect(reply.kind === 'ok' && reply.held.slice(0, 2).every((job) => job.remembered)).toBe(true)
    expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(raws.slice(3))
    await model.release()
    await redis.del(`${ns}:queue:q`)
  }
})
