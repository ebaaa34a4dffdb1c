import { expect } from 'vitest'
import { retriesThatFit } from '../../src/queue/retries.ts'
import { test } from '../support/fixtures.ts'
import { RETRY, modelProcess } from '../support/process-model.ts'
import { startProxy } from '../support/proxy.ts'
import { snapshot } from '../support/redis.ts'
import { everyScriptTwice, openQueue, openTestLane } from './client.ts'

const portOf = (url: string): { port: number } => ({ port: Number(new URL(url).port) })

function quarantined(queue: string, raw: string, ms = 1795371757491): string {
  return `${ms} ${Buffer.byteLength(queue)} ${queue}${raw}`
}

function retry(claim: string, queue: string, error: string, raw: string): string {
  return `${claim} 2 ${Buffer.byteLength(queue)} ${Buffer.byteLength(error)} ${queue}${error}${raw}`
}

test('the quarantine is listed with reasons, released byte for byte, and removed from', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const binary = Buffer.concat([Buffer.from('1 2 é'), Buffer.from('\xff{', 'latin1')])
  await redis.rpush(
    `${ns}:ext:quarantine`,
    quarantined('q', 'junk'),
    binary,
    quarantined('q', '{"class":"A"}'),
    quarantined('', '{"class":"B"}'),
    'odd',
    quarantined('other', ''),
  )
  const { entries, total } = await client.quarantine.list()
  expect(total).toBe(6)
  expect(entries.map(({ queue, raw }) => [queue, raw])).toEqual([
    ['q', 'junk'],
    ['é', '\ufffd{'],
    ['q', '{"class":"A"}'],
    ['', '{"class":"B"}'],
    ['', 'odd'],
    ['other', ''],
  ])
  expect(entries[0]).toMatchObject({
    quarantinedAt: new Date(1795371757491),
    reason: expect.stringContaining('not JSON') as string,
  })
  expect(entries[2]?.reason).toBe('')
  expect((await client.quarantine.list({ offset: 4, limit: 1 })).entries.map(({ index }) => index)).toEqual([4])
  expect(await client.quarantine.show(9)).toBeUndefined()
  expect((await client.quarantine.show(0))?.sha).toBe(entries[0]?.sha)

  expect(await client.quarantine.release({ index: 0, sha: entries[2]?.sha ?? '' })).toEqual({ moved: 0, skipped: 0 })
  expect(await client.quarantine.release({ all: true }, { dryRun: true })).toEqual({ moved: 4, skipped: 2 })
  expect(await client.quarantine.release({ queue: 'q' })).toEqual({ moved: 2, skipped: 0 })
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(['junk', '{"class":"A"}'])
  expect(await client.quarantine.release({ all: true })).toEqual({ moved: 2, skipped: 2 })
  expect((await redis.lrangeBuffer(`${ns}:queue:é`, 0, -1)).map((b) => b.toString('latin1'))).toEqual(['\xff{'])
  expect((await redis.smembers(`${ns}:queues`)).sort()).toEqual(['other', 'q', 'é'])
  expect(await redis.llen(`${ns}:ext:token:q`)).toBe(1)
  expect(await client.quarantine.remove({ index: 1 })).toBe(1)
  expect(await client.quarantine.clear()).toBe(1)
  await expect(client.quarantine.release({})).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('retries due in the same moment are found by their claims, whatever bytes surround them', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const raw = '{"class":"A","args":[]}'
  const claims = Array.from({ length: 300 }, (_, i) => `${(i % 7).toString(16)}f.${i}`)
  const others = ['\x01odd', '\xffodd', 'aaaaaa', '0f.1', '0f.', '0f.10 ']
  for (const claim of claims) await redis.zadd(`${ns}:ext:retry`, 1000, retry(claim, 'q', 'E: é', raw))
  for (const other of others) await redis.zadd(`${ns}:ext:retry`, 1000, Buffer.from(other, 'latin1'))
  await redis.zadd(`${ns}:ext:retry`, 999, retry('early.1', 'q', 'E', raw))
  await redis.zadd(`${ns}:ext:retry`, 1001, retry('late.1', 'q', 'E', raw))
  for (const claim of ['0f.0', '6f.6', '5f.299', '0f.7', 'early.1', 'late.1']) {
    expect([claim, await client.retries.remove({ claim })]).toEqual([claim, 1])
    expect(await client.retries.remove({ claim })).toBe(0)
  }
  expect(await redis.zcard(`${ns}:ext:retry`)).toBe(claims.length + others.length - 4)
  expect(await client.retries.remove({ queue: 'q' })).toBe(claims.length - 4)
  expect(await redis.zcard(`${ns}:ext:retry`)).toBe(others.length)
})

test('retries that are named together are looked for in one walk, which ends with the last of them', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const proxy = await startProxy(portOf(redisUrl))
  let pages = 0
  const count = (): undefined => void pages++
  proxy.on(/^ZRANGEBYSCORE /, count, Infinity)
  const client = openQueue(proxy.url, ns)
  const filling = redis.pipeline()
  for (let i = 0; i < 3000; i++)
    filling.zadd(`${ns}:ext:retry`, i, retry(`a.${i}`, 'q', 'E', '{"class":"A","args":[]}'))
  await filling.exec()
  const claim = Array.from({ length: 40 }, (_, i) => `a.${i * 35}`)
  expect(await client.retries.remove({ claim }, { dryRun: true })).toBe(40)
  expect(await client.retries.remove({ claim: [...claim, 'a.0', 'b.1'] }, { limit: 39 })).toBe(39)
  expect(pages).toBeLessThanOrEqual(6)
  expect(await client.retries.remove({ claim })).toBe(1)
  expect(await client.retries.remove({ claim: [] })).toBe(0)
  expect(await redis.zcard(`${ns}:ext:retry`)).toBe(2960)
})

test('a walk through retries passes over nobody, whatever is promoted meanwhile', async ({ redis, redisUrl, ns }) => {
  const { store } = openTestLane(redisUrl, ns)
  const raw = `{"class":"A","args":["${'x'.repeat(200_000)}"]}`
  const claims = Array.from({ length: 40 }, (_, i) => `a.${i}`)
  // Ten at a time, which are due at two moments each.
  for (const [i, claim] of claims.entries())
    await redis.zadd(`${ns}:ext:retry`, 1000 + Math.floor(i / 5), retry(claim, 'q', 'E', raw))
  const seen: string[] = []
  for await (const { claim } of retriesThatFit(store, {})) {
    if (seen.length % 12 === 0) await redis.zremrangebyrank(`${ns}:ext:retry`, 0, 1)
    seen.push(claim)
  }
  expect(new Set(seen)).toEqual(new Set(claims))
  expect(await redis.zcard(`${ns}:ext:retry`)).toBeLessThan(claims.length)
})

test('removing all retries comes to an end beside those that cannot be read', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  for (let i = 0; i < 500; i++) await redis.zadd(`${ns}:ext:retry`, 1000, `unreadable${i}`)
  await redis.zadd(`${ns}:ext:retry`, 1001, retry('a.1', 'q', 'E', '{"class":"A","args":[]}'))
  await redis.zadd(`${ns}:ext:retry`, '+inf', retry('never.1', 'q', 'E', '{"class":"A","args":[]}'))
  expect(await client.retries.remove({ all: true })).toBe(2)
  expect(await redis.zcard(`${ns}:ext:retry`)).toBe(500)
})

test('large retries are removed in several calls', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const raw = `{"class":"A","args":["${'x'.repeat(800_000)}"]}`
  for (let i = 0; i < 6; i++) await redis.zadd(`${ns}:ext:retry`, 1000, retry(`a.${i}`, 'q', 'E', raw))
  const done: number[] = []
  expect(await client.retries.remove({ class: 'A' }, { progress: (n) => done.push(n) })).toBe(6)
  expect(done).toEqual([2, 4, 6])
})

test('a release sent twice moves once, also among equal elements, and other types are refused', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const proxy = await startProxy(portOf(redisUrl))
  everyScriptTwice(proxy)
  const client = openQueue(proxy.url, ns)
  await redis.rpush(`${ns}:ext:quarantine`, ...Array.from({ length: 5 }, () => quarantined('q', 'junk')))
  expect(await client.quarantine.release({ index: 0 })).toEqual({ moved: 1, skipped: 0 })
  expect(await client.quarantine.remove({ index: 0 })).toBe(1)
  expect(await redis.llen(`${ns}:ext:quarantine`)).toBe(3)
  expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
  await redis.rpush(`${ns}:ext:quarantine`, quarantined('bad', 'junk'))
  await redis.set(`${ns}:queue:bad`, 'text')
  const { [`ext:quarantine`]: before } = await snapshot(redis, ns)
  await expect(client.quarantine.release({ all: true })).rejects.toMatchObject({ code: 'REDIS_REFUSED' })
  expect((await snapshot(redis, ns))['ext:quarantine']).toEqual(before)
})

test('waiting retries are listed by due time and removed, each by its claim', async ({ redis, redisUrl, ns }) => {
  const proxy = await startProxy(portOf(redisUrl))
  everyScriptTwice(proxy)
  const client = openQueue(proxy.url, ns)
  const raw = '{"class":"A","args":[1],"id":"same"}'
  await redis.zadd(
    `${ns}:ext:retry`,
    3000,
    retry('n1.3', 'é q', 'Error: ü', raw),
    2000,
    retry('n1.1', 'q', 'Error: boom', raw),
    2000,
    retry('n1.10', 'q', '', '{"class":"B"}'),
  )
  const { entries, total } = await client.retries.list()
  expect(total).toBe(3)
  expect(entries).toMatchObject([
    {
      claim: 'n1.1',
      dueAt: new Date(2000),
      attempt: 2,
      queue: 'q',
      error: 'Error: boom',
      raw,
      payload: { id: 'same' },
    },
    { claim: 'n1.10', queue: 'q', error: '', payload: { class: 'B' } },
    { claim: 'n1.3', dueAt: new Date(3000), queue: 'é q', error: 'Error: ü', raw },
  ])
  expect(await client.retries.count()).toBe(3)
  expect(await client.retries.remove({ queue: 'q', class: 'A' }, { dryRun: true })).toBe(1)
  expect(await client.retries.remove({ claim: 'n1.1' })).toBe(1)
  expect((await client.retries.list()).entries.map(({ claim }) => claim)).toEqual(['n1.10', 'n1.3'])
  expect(await client.retries.remove({ id: 'same' })).toBe(1)
  expect(await client.retries.remove({ all: true })).toBe(1)
  await expect(client.retries.remove({})).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('a thousand retries go in chunks, those that do not fit stay', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const members = Array.from({ length: 1200 }, (_, i): [number, string] => [
    1000 + Math.floor(i / 50),
    retry(`n.${i}`, i % 3 ? 'go' : 'stay', 'E: x', `{"class":"A","id":"${i}"}`),
  ])
  await redis.zadd(`${ns}:ext:retry`, ...members.flat())
  expect(await client.retries.remove({ queue: 'go' }, { limit: 10 })).toBe(10)
  expect(await client.retries.remove({ queue: 'go' })).toBe(790)
  expect(await client.retries.count()).toBe(400)
})

test('a retry that is removed takes its attempts along, and its status will expire', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const model = modelProcess(redisUrl, ns)
  await model.register()
  const status = `${ns}:job:é1:status`
  for (const raw of ['{"class":"Ruby","args":[]}', '{"class":"A","args":[],"id":"é1"}']) {
    if (raw.includes('id')) await redis.set(status, '{"status":1,"updated":5,"started":5,"result":null}')
    await client.queues.push('q', raw)
    await model.reserve(0)
    await model.end(0, { verb: 'retry', delayMs: 0, attempt: 3, error: 'E: ü' })
    expect(await redis.keys(`${ns}:ext:job:*`)).toHaveLength(1)
    expect(await client.retries.remove({ queue: 'q' })).toBe(1)
    expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
    await client.queues.push('q', raw)
    expect((await model.reserve(0))[0]).toMatchObject({ attempts: 0 })
    await model.end(0, RETRY)
    await client.retries.remove({ all: true })
  }
  expect(await redis.get(status)).toContain('"status":1')
  expect(await redis.ttl(status)).toBeGreaterThan(86_000)
})
