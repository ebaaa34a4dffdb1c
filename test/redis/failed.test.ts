import { expect } from 'vitest'
import type { ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { startProxy } from '../support/proxy.ts'
import { snapshot } from '../support/redis.ts'
import { elements, readGolden } from '../wire/golden.ts'
import { everyScriptTwice, loseEveryFirstReply, openQueue } from './client.ts'

const portOf = (url: string): { port: number } => ({ port: Number(new URL(url).port) })

/** A failed entry with the payload's bytes as given. */
function entry(payload: string, fields: Record<string, unknown> = {}): string {
  const {
    failed_at = '2026/11/22 18:25:21 UTC',
    exception = 'Error',
    error = 'boom',
    worker = 'w:1:q',
    queue = 'q',
  } = fields
  const rest = { exception, error, backtrace: [], worker, queue }
  return `{"failed_at":${JSON.stringify(failed_at)},"payload":${payload},${JSON.stringify(rest).slice(1)}`
}

/** JSON that would not survive being parsed and written again. */
const DELICATE =
  '{ "class":"A", "args":[{"e":{},"l":[],"big":12345678901234567890,"f":1.10,"s":"\\u00e9\\/"}], "id":"i1" }'

async function ids(client: ResQueue): Promise<unknown[]> {
  return (await client.failed.list({ order: 'oldest', limit: 1000 })).entries.map((e) => e.payload?.id)
}

test('entries of every program of the family are read', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const dumps = [
    '02-php-working-failed.txt',
    '03-ruby-working-failed.txt',
    '04-node-working-failed.txt',
    '05-redisqueue-working-failed.txt',
  ]
  for (const name of dumps)
    await redis.rpush(`${ns}:failed`, ...elements(Object.values(readGolden(name))[0] ?? [], 'failed'))
  const { entries, total } = await client.failed.list({ order: 'oldest' })
  expect(total).toBe(10)
  expect(
    entries.map((e) => [e.failedAt?.toISOString(), e.payload?.class, e.exception, e.worker, e.backtrace.length]),
  ).toEqual([
    ['2026-11-22T18:39:48.000Z', 'ThrowJob', 'RuntimeException', 'vm:16984:default', 5],
    ['2026-11-22T18:39:49.000Z', 'ExitJob', 'Resque\\Exceptions\\DirtyExitException', 'vm:16984:default', 2],
    ['2026-11-22T18:39:50.000Z', 'KillJob', 'Resque\\Exceptions\\DirtyExitException', 'vm:16984:default', 2],
    ['2026-11-22T18:39:50.000Z', 'No\\Such', 'Resque\\Exceptions\\ResqueException', 'vm:16984:default', 6],
    ['2026-11-22T18:40:00.000Z', 'ThrowJob', 'RuntimeError', 'vm:17275:default', 1],
    ['2026-11-22T18:40:00.000Z', 'KillJob', 'Resque::DirtyExit', 'vm:17275:default', 0],
    ['2026-11-22T18:40:00.000Z', 'No::Such', 'NameError', 'vm:17275:default', 3],
    ['2026-11-22T18:40:06.000Z', 'ThrowJob', 'TypeError', 'vm:17358', 4],
    ['2026-11-22T18:40:06.000Z', 'NoSuch', 'Error', 'vm:17358', 3],
    ['2026-11-23T02:40:11.000Z', 'ThrowJob', 'RedisQueue\\ReQueue\\Job\\DirtyExitException', 'vm:17434:default', 7],
  ])
})

test('entries that are broken are listed, skipped by retry, and can be removed', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const broken = [
    '',
    'not json',
    '[]',
    '{}',
    entry('null'),
    entry('[]'),
    entry('"text"'),
    entry('{"args":[]}'),
    entry('{"class":null,"args":[],"raw":"x"}'),
    entry('{"class":"A"}', { queue: '' }),
  ]
  const whole =
    '{"failed_at":1795371933,"payload":{"class":"A"},"exception":null,"error":7,"backtrace":null,"worker":1,"queue":"q"}'
  await redis.rpush(`${ns}:failed`, ...broken, whole)
  const { entries } = await client.failed.list({ order: 'oldest' })
  expect(entries).toHaveLength(11)
  expect(entries[10]).toMatchObject({
    exception: '',
    error: '',
    backtrace: [],
    worker: '',
    queue: 'q',
    payload: { class: 'A' },
  })
  expect(await client.failed.retry({ all: true })).toEqual({ moved: 1, skipped: 10 })
  expect(await redis.lrange(`${ns}:failed`, 0, -1)).toEqual(broken)
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(['{"class":"A"}'])
  expect(await client.failed.remove({ all: true })).toBe(10)
  expect(await client.failed.count()).toBe(0)
})

test('a retry moves the payload byte for byte to the tail of its queue and sets a tracked status to waiting', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const raw = Buffer.from('{"class":"A","args":["\xff\xfe\xc3"],"id":"x"}', 'latin1')
  const [before, after] = entry('@', { queue: 'bin' }).split('@') as [string, string]
  await redis.rpush(`${ns}:queue:q`, 'first')
  await redis.rpush(
    `${ns}:failed`,
    entry(DELICATE),
    Buffer.concat([Buffer.from(before), raw, Buffer.from(after)]),
    entry('{"class":"B"}'),
  )
  await redis.set(`${ns}:job:i1:status`, '{"status":3,"updated":5,"started":4,"result":null}', 'EX', 86_400)
  expect(await client.failed.retry({ all: true })).toEqual({ moved: 3, skipped: 0 })
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(['first', DELICATE, '{"class":"B"}'])
  expect((await redis.lrangeBuffer(`${ns}:queue:bin`, 0, -1)).map((b) => b.toString('latin1'))).toEqual([
    raw.toString('latin1'),
  ])
  expect(await redis.get(`${ns}:job:i1:status`)).toMatch(/^\{"status":1,"updated":\d+,"started":4,"result":null\}$/)
  expect(await redis.ttl(`${ns}:job:i1:status`)).toBe(-1)
  expect((await redis.smembers(`${ns}:queues`)).sort()).toEqual(['bin', 'q'])
  expect(await redis.llen(`${ns}:ext:token:q`)).toBe(1)
  expect(await redis.exists(`${ns}:failed`)).toBe(0)
})

test('a selection by index, sha, id, queue, class, error and time', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const add = (id: string, name: string, fields: Record<string, unknown> = {}): Promise<number> =>
    redis.rpush(`${ns}:failed`, entry(`{"class":"${name}","id":"${id}"}`, fields))
  await add('a', 'One')
  await add('b', 'Two', { queue: 'other', failed_at: '2026-11-23T10:00:00+00:00' })
  await add('c', 'One', { exception: 'TimeoutError', error: 'took too long' })
  await add('d', 'Three', { failed_at: 'never' })
  const listed = async (query: Parameters<ResQueue['failed']['list']>[0]): Promise<unknown[]> =>
    (await client.failed.list(query)).entries.map((e) => e.payload?.id)
  expect(await listed({})).toEqual(['d', 'c', 'b', 'a'])
  expect(await listed({ class: 'One' })).toEqual(['c', 'a'])
  expect(await listed({ queue: 'other' })).toEqual(['b'])
  expect(await listed({ error: 'timeouterror: TOOK' })).toEqual(['c'])
  expect(await listed({ since: new Date('2026-11-23T00:00:00Z') })).toEqual(['b'])
  expect(await listed({ until: new Date('2026-11-23T00:00:00Z') })).toEqual(['c', 'a'])
  expect(await listed({ id: 'd', class: 'One' })).toEqual([])
  expect((await client.failed.show(1))?.payload?.id).toBe('b')
  expect(await client.failed.show(9)).toBeUndefined()

  const seen = await client.failed.show(0)
  expect(await client.failed.retry({ index: 1, sha: seen?.sha ?? '' })).toEqual({ moved: 0, skipped: 0 })
  expect(await client.failed.retry({ class: 'One' }, { dryRun: true })).toEqual({ moved: 2, skipped: 0 })
  expect(await ids(client)).toEqual(['a', 'b', 'c', 'd'])
  expect(await client.failed.retry({ index: 0, sha: seen?.sha ?? '' })).toEqual({ moved: 1, skipped: 0 })
  expect(await client.failed.retry({ id: 'd', sha: seen?.sha ?? '' })).toEqual({ moved: 0, skipped: 0 })
  expect(await client.failed.retry({ id: 'd' })).toEqual({ moved: 1, skipped: 0 })
  expect(await client.failed.remove({ class: 'One' })).toBe(1)
  expect(await ids(client)).toEqual(['b'])
  await expect(client.failed.retry({})).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  await expect(client.failed.remove({ all: false })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('failed lists of single queues are read, retried and cleared', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await redis.rpush(
    `${ns}:mail_failed`,
    entry('{"class":"A","id":"m"}', { queue: 'mail' }),
    entry('{"class":"B"}', { queue: 'mail' }),
  )
  await redis.sadd(`${ns}:failed_queues`, 'mail_failed')
  expect(await client.failed.queues()).toEqual(['mail'])
  expect(await client.failed.count({ listOf: 'mail' })).toBe(2)
  await redis.rpush(`${ns}:failed`, entry('{"class":"C"}'))
  expect(await client.stats.overview()).toMatchObject({ failedJobs: 3 })
  await redis.del(`${ns}:failed`)
  expect(await client.failed.retry({ listOf: 'mail', id: 'm' })).toEqual({ moved: 1, skipped: 0 })
  expect(await redis.lrange(`${ns}:queue:mail`, 0, -1)).toEqual(['{"class":"A","id":"m"}'])
  expect(await client.failed.clear({ listOf: 'mail' })).toBe(1)
  expect(await client.failed.clear()).toBe(0)
})

test('a long list is paged and swept in chunks; what is kept keeps its order', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const all = Array.from({ length: 3000 }, (_, i) => entry(`{"class":"${i % 3 ? 'Keep' : 'Go'}","id":"${i}"}`))
  await redis.rpush(`${ns}:failed`, ...all)
  const seen: unknown[] = []
  let cursor: number | undefined
  do {
    const page = await client.failed.list({ class: 'Go', limit: 300, ...(cursor === undefined ? {} : { cursor }) })
    seen.push(...page.entries.map((e) => Number(e.payload?.id)))
    cursor = page.next
  } while (cursor !== undefined)
  expect(seen).toEqual(Array.from({ length: 1000 }, (_, i) => 2997 - 3 * i))

  const told: number[] = []
  expect(await client.failed.retry({ class: 'Go' }, { limit: 700, progress: (n) => told.push(n) })).toEqual({
    moved: 700,
    skipped: 0,
  })
  expect(told.at(-1)).toBe(700)
  expect(await client.failed.retry({ class: 'Go' })).toEqual({ moved: 300, skipped: 0 })
  expect(await redis.lrange(`${ns}:failed`, 0, -1)).toEqual(all.filter((_, i) => i % 3))
  expect(
    (await redis.lrange(`${ns}:queue:q`, 0, -1)).map((raw) => Number((JSON.parse(raw) as { id: string }).id)),
  ).toEqual(Array.from({ length: 1000 }, (_, i) => 3 * i))
})

test('a limit that is no number moves and removes nothing, wherever it is given', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await redis.rpush(`${ns}:failed`, entry(DELICATE), entry(DELICATE))
  await client.enqueueIn(60, 'q', 'A')
  const options = { limit: Number('?') }
  const refused = { code: 'INVALID_ARGUMENT', message: '"limit" must be a number, not NaN.' }
  await expect(client.failed.remove({ all: true }, options)).rejects.toMatchObject(refused)
  await expect(client.failed.retry({ class: 'A' }, options)).rejects.toMatchObject(refused)
  await expect(client.delayed.remove({ all: true }, options)).rejects.toMatchObject(refused)
  await expect(client.retries.remove({ all: true }, options)).rejects.toMatchObject(refused)
  expect(await client.failed.count()).toBe(2)
  expect(await client.delayed.list(options)).toEqual([])
  expect(await client.delayed.list({ limit: 0.5 })).toHaveLength(1)
})

test('a hundred retriers at once leave no copies and nothing behind', async ({ redis, redisUrl, ns }) => {
  const payloads = Array.from({ length: 2000 }, (_, i) => `{"class":"A","id":"${i % 4 === 0 ? 'same' : i}"}`)
  await redis.rpush(`${ns}:failed`, ...payloads.map((payload) => entry(payload)))
  const clients = Array.from({ length: 20 }, () => openQueue(redisUrl, ns))
  const moved = await Promise.all(
    Array.from({ length: 100 }, (_, i) => (clients[i % 20] as ResQueue).failed.retry({ all: true })),
  )
  expect(moved.reduce((sum, m) => sum + m.moved, 0)).toBe(2000)
  expect((await redis.lrange(`${ns}:queue:q`, 0, -1)).sort()).toEqual(payloads.sort())
  expect(await redis.exists(`${ns}:failed`)).toBe(0)
})

test('retriers with a filter, removers and new failures at once: each entry goes its one way', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const add = (from: number): Promise<number> =>
    redis.rpush(
      `${ns}:failed`,
      ...Array.from({ length: 500 }, (_, i) =>
        entry(`{"class":"${['Retry', 'Remove', 'Keep'][i % 3]}","id":"${from + i}"}`),
      ),
    )
  await add(0)
  await add(500)
  const clients = Array.from({ length: 6 }, () => openQueue(redisUrl, ns))
  const counts = await Promise.all([
    ...clients.slice(0, 3).map(async (c) => (await c.failed.retry({ class: 'Retry' })).moved),
    ...clients.slice(3).map(async (c) => -(await c.failed.remove({ class: 'Remove' }))),
    add(1000).then(() => 0),
  ])
  const rest = openQueue(redisUrl, ns)
  const more = (await rest.failed.retry({ class: 'Retry' })).moved
  const gone = await rest.failed.remove({ class: 'Remove' })
  expect(counts.filter((n) => n > 0).reduce((a, b) => a + b, more)).toBe(501)
  expect(counts.filter((n) => n < 0).reduce((a, b) => a - b, gone)).toBe(501)
  expect(new Set(await redis.lrange(`${ns}:queue:q`, 0, -1)).size).toBe(501)
  expect((await rest.failed.list({ limit: 1000 })).entries.every((e) => e.payload?.class === 'Keep')).toBe(true)
  expect(await rest.failed.count()).toBe(498)
})

for (const [how, spoil] of [
  ['sent twice', everyScriptTwice],
  ['whose first reply is lost', loseEveryFirstReply],
] as const) {
  test(`moves and removals ${how} have their effect once, also among equal entries`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const proxy = await startProxy(portOf(redisUrl))
    spoil(proxy)
    const client = openQueue(proxy.url, ns)
    await redis.rpush(`${ns}:failed`, ...Array.from({ length: 10 }, () => entry('{"class":"A"}')))
    expect(await client.failed.retry({ index: 0 })).toEqual({ moved: 1, skipped: 0 })
    expect(await client.failed.remove({ index: 0 })).toBe(1)
    expect(await redis.llen(`${ns}:failed`)).toBe(8)
    expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
    expect(await client.failed.retry({ all: true })).toEqual({ moved: 8, skipped: 0 })
    expect(await redis.llen(`${ns}:queue:q`)).toBe(9)
    await redis.rpush(`${ns}:failed`, entry('{"class":"A"}'))
    expect(await client.failed.clear()).toBe(1)
  })
}

test('where the queue key holds another type the retry is refused and the entry stays', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  await redis.set(`${ns}:queue:bad`, 'text')
  await redis.rpush(`${ns}:failed`, entry('{"class":"A"}'), entry('{"class":"A"}', { queue: 'bad' }))
  const before = await snapshot(redis, ns)
  await expect(client.failed.retry({ all: true })).rejects.toMatchObject({ code: 'REDIS_REFUSED' })
  expect(await snapshot(redis, ns)).toEqual(before)
  await redis.set(`${ns}:bad_failed`, 'text')
  await expect(client.failed.list({ listOf: 'bad' })).rejects.toMatchObject({ code: 'REDIS_REFUSED' })
  await expect(client.failed.clear({ listOf: 'bad' })).rejects.toMatchObject({ code: 'REDIS_REFUSED' })
})
