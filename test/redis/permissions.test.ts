import { expect } from 'vitest'
import { promoteDelayed, promoteRetries } from '../../src/queue/promote.ts'
import { openStore } from '../../src/redis/store.ts'
import { test } from '../support/fixtures.ts'
import { DONE, FAILED, modelProcess } from '../support/process-model.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'
import { own } from '../support/scope.ts'
import { openQueue } from './client.ts'

/** Permissions may be revoked at any moment: no script may stop where a job is nowhere, or is copied at every try. */

const job = (n: number): string => `{"class":"Job","args":[${n}]}`

/** The URL of a user who may do all but these. */
async function userWithout(server: RedisServer, ...commands: string[]): Promise<string> {
  await server
    .client()
    .call('ACL', 'SETUSER', 'limited', 'reset', 'on', '>pw', '~*', '+@all', ...commands.map((one) => `-${one}`))
  return server.url.replace('redis://', 'redis://limited:pw@')
}

const REFUSED = { code: 'REDIS_REFUSED' }

test.each(['hset', 'rpush', 'ltrim', 'hdel', 'mset'])(
  'a worker that may not %s any more loses none of the jobs that it tries to take',
  async (command) => {
    const server = await startRedis()
    const redis = server.client()
    const url = await userWithout(server)
    const model = modelProcess(url, 'resque')
    await model.register()
    await redis.rpush('resque:queue:q', job(1), 'garbage', job(2))
    await userWithout(server, command)
    await expect(model.reserve(0, 1, 2)).rejects.toMatchObject(REFUSED)
    for (let round = 0; round < 3; round++) await model.reserve(0, 1, 2).catch(() => undefined)
    await userWithout(server)
    await model.release()
    const back = await redis.lrange('resque:queue:q', 0, -1)
    const aside = await redis.lrange('resque:ext:quarantine', 0, -1)
    expect(back.filter((raw) => raw !== 'garbage')).toEqual([job(1), job(2)])
    expect([...back, ...aside].join('\n')).toContain('garbage')
  },
)

test.each(['rpush', 'hdel', 'set', 'lpush'])(
  'who may not %s puts what a gone process held back once or not at all',
  async (command) => {
    const server = await startRedis()
    const redis = server.client()
    const model = modelProcess(server.url, 'resque')
    await model.register()
    await redis.rpush('resque:queue:q', job(1), job(2))
    await model.reserve(0, 1)
    await redis.del(`resque:ext:lease:${model.registration.nonce}`)
    const other = modelProcess(await userWithout(server, command), 'resque', { nonce: model.registration.nonce })
    for (let round = 0; round < 3; round++) await other.release({ kind: 'lease' }).catch(() => undefined)
    await model.release({ kind: 'lease' })
    expect(await redis.lrange('resque:queue:q', 0, -1)).toEqual([job(1), job(2)])
    expect(await redis.exists('resque:ext:quarantine')).toBe(0)
  },
)

test('a job whose end may not be recorded is not thrown away', async () => {
  const server = await startRedis()
  const redis = server.client()
  const model = modelProcess(await userWithout(server), 'resque')
  await model.register()
  await redis.rpush('resque:queue:q', job(1))
  await model.reserve(0)
  await userWithout(server, 'rpush')
  await expect(model.end(0, FAILED)).rejects.toMatchObject(REFUSED)
  await userWithout(server)
  await model.end(0, DONE)
  expect(await redis.exists('resque:ext:quarantine', 'resque:failed', 'resque:queue:q')).toBe(0)
})

test('what may not be enqueued is refused as a whole, and what was enqueued is not refused', async () => {
  const server = await startRedis()
  const redis = server.client()
  for (const command of ['sadd', 'rpush', 'zadd']) {
    const client = openQueue(await userWithout(server, command), 'resque')
    if (command !== 'zadd') await expect(client.enqueue('q', 'A')).rejects.toMatchObject(REFUSED)
    await expect(client.enqueueAt(4_000_000_000, 'q', 'A')).rejects.toMatchObject(REFUSED)
  }
  expect(await redis.keys('resque:queue:*')).toEqual([])
  expect(await redis.keys('resque:delayed:*')).toEqual([])
  const client = openQueue(await userWithout(server, 'set'), 'resque')
  await client.enqueue('q', 'A', {}, true)
  await client.enqueueAt(4_000_000_000, 'q', 'A')
  expect(await redis.llen('resque:queue:q')).toBe(1)
})

test('what is due is moved also when Redis is full, and not again and again by who may not remove it', async () => {
  const server = await startRedis()
  const redis = server.client()
  const fill = async (): Promise<void> => {
    await redis.zadd('resque:ext:retry', 5, 'n.1 1 1 1 qE{"class":"A"}')
    await redis.zadd('resque:delayed_queue_schedule', 5, 5)
    await redis.rpush('resque:delayed:5', '{"class":"B","args":[],"queue":"q"}')
  }
  const full = openStore({ url: server.url, namespace: 'resque' })
  own('store', () => full.close())
  await fill()
  await redis.config('SET', 'maxmemory', '1mb')
  expect((await promoteRetries(full)).moved).toBe(1)
  expect(await promoteDelayed(full)).toMatchObject({ kind: 'moved' })
  expect(await redis.llen('resque:queue:q')).toBe(2)

  await redis.config('SET', 'maxmemory', '0')
  await redis.del('resque:queue:q')
  await fill()
  const limited = openStore({ url: await userWithout(server, 'zrem', 'lpop'), namespace: 'resque' })
  own('limited', () => limited.close())
  for (let round = 0; round < 2; round++) {
    await expect(promoteRetries(limited)).rejects.toMatchObject(REFUSED)
    await expect(promoteDelayed(limited)).rejects.toMatchObject(REFUSED)
  }
  expect(await redis.llen('resque:queue:q')).toBe(0)
})
