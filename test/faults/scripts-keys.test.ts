import type { Redis } from 'ioredis'
import fc from 'fast-check'
import { expect } from 'vitest'
import { promoteDelayed, promoteRetries } from '../../src/queue/promote.ts'
import { look } from '../../src/queue/recovery.ts'
import { renew, type RenewReply } from '../../src/queue/renew.ts'
import { test } from '../support/fixtures.ts'
import { clock, fill, payloads } from '../support/payloads.ts'
import { DONE, ENDINGS, FAILED, modelProcess, payloadOf } from '../support/process-model.ts'
import { snapshot } from '../support/redis.ts'
import { waitFor } from '../support/wait.ts'

const KEYS_TO_SPOIL = [
  'queue:q',
  'queues',
  'failed',
  'q_failed',
  'failed_queues',
  'stat:processed',
  'stat:failed',
  'workers',
  'workers:heartbeat',
  'worker:host.spoil.0:4711:q',
  'ext:quarantine',
  'ext:retry',
  'ext:paused',
  'ext:token:q',
  'ext:flow:q',
  'ext:jobs',
  'pause-all-workers',
  'delayed_queue_schedule',
  'ext:suspects',
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
  const spoiling = fc.array(
    fc.tuple(fc.constantFrom(...KEYS_TO_SPOIL), fc.constantFrom(...TYPES), fc.constantFrom('start', 'running')),
    { minLength: 1, maxLength: 5 },
  )
  await fc.assert(
    fc.asyncProperty(
      spoiling,
      fc.array(fc.constantFrom(...ENDINGS), { minLength: 4, maxLength: 4 }),
      async (spoils, endings) => {
        const world = `${ns}:${++run}`
        const model = modelProcess(redisUrl, world, { nonce: 'spoil', queues: ['q', 'r'] })
        await model.register()
        const jobs = [...(await fill(redis, world, 0, 3, 'q')), ...(await fill(redis, world, 3, 6, 'r'))]
        const gone: string[] = []
        const spoilAll = async (moment: string): Promise<void> => {
          for (const [key, type, when] of spoils) {
            if (when !== moment) continue
            // Jobs in a key that somebody else replaces are gone with it: they are not ours to keep.
            if (key === 'queue:q' && (await redis.type(`${world}:queue:q`)) === 'list')
              gone.push(...(await redis.lrange(`${world}:queue:q`, 0, -1)))
            await spoil(redis, `${world}:${key}`, type)
          }
        }
        await spoilAll('start')
        await model.reserve(0, 1, 2, 3).catch(() => [])
        await spoilAll('running')
        const done: string[] = []
        for (const [slot, job] of Array.from(model.held)) {
          const ending = endings[slot % 4] ?? DONE
          const reply = await model.end(slot, ending)
          const stillHeld =
            reply.kind === 'ok' && reply.held.some((other) => other.slot === slot && other.claim === job.claim)
          if (ending.verb === 'done' && !stillHeld) done.push(job.raw)
        }
        await promoteRetries(model.store).catch(() => undefined)
        await promoteDelayed(model.store).catch(() => undefined)
        await model.release()
        const kept = [...(await payloads(redis, world, ['q', 'r'])), ...done, ...gone].filter(
          (raw) => raw !== 'spoiled',
        )
        expect([...new Set(kept)].sort()).toEqual([...jobs].sort())
      },
    ),
    { numRuns: 150 },
  )
})

test('a full Redis still lets a process renew, finish and put back, while looks reap nobody', async ({
  redis,
  ns,
  redisUrl,
}) => {
  await fill(redis, ns, 0, 3)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  await model.reserve(0, 1, 2)
  const [, before] = await redis.config('GET', 'maxmemory')
  await redis.config('SET', 'maxmemory-policy', 'noeviction')
  await redis.config('SET', 'maxmemory', '1')
  try {
    await expect(redis.set(`${ns}:x`, '1')).rejects.toThrow('OOM')
    await redis.del(`${ns}:ext:lease:${model.registration.nonce}`)
    expect(
      (await renew(model.store, model.registration, { beat: true, statistics: [], look: ['q'], drainMark: '' }, {}))
        .kind,
    ).toBe('ok')
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

test('renewal restores what a foreign prune removed', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 1)
  const model = modelProcess(redisUrl, ns, { slots: 2 })
  await model.register()
  await model.reserve(0)
  const id = `host.${model.registration.nonce}.0:4711:q`
  const other = `${ns}:worker:host.${model.registration.nonce}.1:4711:q:started`
  await redis.set(other, 'untouched')
  const before = await snapshot(redis, ns)
  await redis.srem(`${ns}:workers`, id)
  await redis.del(`${ns}:worker:${id}`, `${ns}:worker:${id}:started`)
  await redis.hdel(`${ns}:workers:heartbeat`, id)
  await renew(model.store, model.registration, { beat: true, statistics: [], look: [], drainMark: '' }, {})
  const after = await snapshot(redis, ns)
  expect(Object.keys(after)).toEqual(Object.keys(before))
  expect(await redis.get(other)).toBe('untouched')
  expect(await redis.get(`${ns}:worker:${id}`)).toContain(`"payload":${payloadOf(0)}`)
  const started = new Date(model.registration.started).toISOString().replace(/\.\d+/, '')
  expect(await redis.get(`${ns}:worker:${id}:started`)).toBe(started)
})

test('renewal tells of a retry and of a delayed job once they are due, and how many queues there are', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const model = modelProcess(redisUrl, ns)
  await model.register()
  const told = async (): Promise<Extract<RenewReply, { kind: 'ok' }>> => {
    const renewal = { beat: false, statistics: [], look: [], drainMark: '' }
    return (await renew(model.store, model.registration, renewal, {})) as Extract<RenewReply, { kind: 'ok' }>
  }
  expect(await told()).toMatchObject({ retryDue: false, delayedDue: false, knownQueues: 0 })
  await redis.sadd(`${ns}:queues`, 'q', 'r')
  await redis.zadd(`${ns}:ext:retry`, (await clock(redis)) + 60_000, 'model.1 1 1 3 qE:e{}')
  await redis.zadd(`${ns}:delayed_queue_schedule`, 4_000_000_000, '4000000000')
  expect(await told()).toMatchObject({ retryDue: false, delayedDue: false, knownQueues: 2 })
  await redis.zadd(`${ns}:ext:retry`, (await clock(redis)) + 300, 'model.1 1 1 3 qE:e{}')
  await waitFor(async () => (await told()).retryDue)
  const second = Math.floor((await clock(redis)) / 1000)
  await redis.zadd(`${ns}:delayed_queue_schedule`, second, String(second))
  expect(await told()).toMatchObject({ delayedDue: true })
})

test('release leaves nothing of a process but that it is gone', async ({ redis, ns, redisUrl }) => {
  await fill(redis, ns, 0, 1)
  const model = modelProcess(redisUrl, ns, { nonce: 'leaver' })
  await model.register()
  expect(await redis.hgetall(`${ns}:ext:meta`)).toEqual({ version: '1' })
  await model.reserve(0)
  const statistics = [[`${model.registration.name}.0${model.registration.tail}`, 2, 1]] as const
  await renew(model.store, model.registration, { beat: true, statistics, look: [], drainMark: '' }, {})
  await redis.hset(`${ns}:ext:suspects`, 'leaver', 5)
  await model.release()
  const bearing = Object.entries(await snapshot(redis, ns)).filter((entry) => JSON.stringify(entry).includes('leaver'))
  expect(bearing.map(([key]) => key)).toEqual(['ext:gone:leaver'])
})
