import { expect } from 'vitest'
import { jobOf, type Item } from '../../src/index.ts'
import { ACTIVE_JOB } from '../../src/queue/payload.ts'
import { test } from '../support/fixtures.ts'
import { startProxy } from '../support/proxy.ts'
import { snapshot } from '../support/redis.ts'
import { everyScriptTwice, loseEveryFirstReply, openQueue } from './client.ts'

const portOf = (url: string): { port: number } => ({ port: Number(new URL(url).port) })

/** An age that was `seconds` when the test began. */
const about = (seconds: number): unknown =>
  expect.toSatisfy((age: number) => age > seconds - 0.1 && age < seconds + 9, `about ${seconds} s`) as unknown

test('queues are listed by name with size, pause, and the age and class of their heads', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const now = Date.now() / 1000
  await redis.sadd(`${ns}:queues`, 'b', 'a', 'c', 'huge', 'odd', 'active')
  await redis.rpush(`${ns}:queue:a`, `{"class":"A","args":[],"queue_time":${now - 100}}`, '{"class":"B"}')
  await redis.rpush(`${ns}:queue:b`, '{"class":"Ruby::Job","args":[]}')
  await redis.rpush(
    `${ns}:queue:huge`,
    `{"class":"H \\"x\\"","args":["${'x'.repeat(100_000)}"],"id":"h1","prefix":"","queue_time":${now - 50}}`,
  )
  await redis.rpush(
    `${ns}:queue:active`,
    `{"class":"${ACTIVE_JOB}","args":[{"job_class":"J","enqueued_at":"${new Date((now - 10) * 1000).toISOString()}"}]}`,
  )
  await redis.set(`${ns}:queue:odd`, 'text')
  await client.queues.pause('b')
  const { queues, total } = await client.queues.list()
  expect(total).toBe(6)
  expect(queues).toEqual([
    { name: 'a', size: 2, paused: false, nextClass: 'A', latencySeconds: about(100) },
    { name: 'active', size: 1, paused: false, nextClass: ACTIVE_JOB, latencySeconds: about(10) },
    { name: 'b', size: 1, paused: true, nextClass: 'Ruby::Job', latencySeconds: undefined },
    { name: 'c', size: 0, paused: false, nextClass: undefined, latencySeconds: undefined },
    { name: 'huge', size: 1, paused: false, nextClass: 'H "x"', latencySeconds: about(50) },
    { name: 'odd', size: 0, paused: false, nextClass: undefined, latencySeconds: undefined },
  ])
  expect((await client.queues.list({ offset: 2, limit: 2 })).queues.map(({ name }) => name)).toEqual(['b', 'c'])
  expect(await client.queues.names()).toEqual(['a', 'active', 'b', 'c', 'huge', 'odd'])
})

test('a head whose class is cut, or is no JSON, does not spoil the list', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const since = Date.now() / 1000 - 50
  await redis.sadd(`${ns}:queues`, 'long', 'odd')
  await redis.rpush(
    `${ns}:queue:long`,
    `{"class":"${'L'.repeat(5000)}","args":[],"id":"l1","prefix":"","queue_time":${since}}`,
  )
  await redis.rpush(`${ns}:queue:odd`, `{"class":"a\nb","args":["${'x'.repeat(5000)}"]}`)
  const { queues } = await client.queues.list()
  expect(queues).toEqual([
    { name: 'long', size: 1, paused: false, nextClass: undefined, latencySeconds: about(50) },
    { name: 'odd', size: 1, paused: false, nextClass: undefined, latencySeconds: undefined },
  ])
})

test('size, peek, push, pop and reserve', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await client.queues.push('q', '{ "class":"A", "n":1.10 }')
  await client.queues.push('q', { class: 'B', args: [1] })
  await client.queues.push('q', { class: 'C', args: [], id: 'c1' })
  expect(await redis.smembers(`${ns}:queues`)).toEqual(['q'])
  expect(await client.queues.size('q')).toBe(3)
  expect(await client.queues.peek('q')).toEqual([
    '{ "class":"A", "n":1.10 }',
    '{"class":"B","args":[1]}',
    '{"class":"C","args":[],"id":"c1"}',
  ])
  expect(await client.queues.peek('q', 1, 1)).toEqual(['{"class":"B","args":[1]}'])
  expect(await client.queues.peek('q', -1, 5)).toEqual(['{"class":"C","args":[],"id":"c1"}'])
  expect(await client.queues.peek('q', 0, 0)).toEqual([])
  expect(await client.queues.pop('q')).toBe('{ "class":"A", "n":1.10 }')
  await redis.lpush(`${ns}:queue:q`, 'junk', '{"class":"cut')
  const job = await client.reserve('q')
  expect(String(job)).toBe('(Job{q} | B | [1])')
  expect(String(await client.reserve('q'))).toBe('(Job{q} | ID: c1 | C | [])')
  expect(await client.reserve('q')).toBeUndefined()
  expect(await client.queues.pop('q')).toBeUndefined()
  expect((await client.quarantine.list()).entries.map(({ queue, raw }) => [queue, raw])).toEqual([
    ['q', '{"class":"cut'],
    ['q', 'junk'],
  ])
  await expect(client.queues.push('q', 'junk')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  await expect(client.queues.push('q', { args: [] })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  await redis.rpush(`${ns}:queue:odd`, 'no job')
  expect(await client.queues.pop('odd')).toBe('no job')
})

test('a job recreated has a new id and keeps queue, class, arguments, prefix, extras and tracking', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  await client.enqueue('q', 'A', { a: 1 }, { track: true, prefix: 'p', retry: 3, id: 'old' })
  await client.queues.push('q', '{"class":"R","args":[1,"two"]}')
  const [tracked, ruby] = [await client.reserve('q'), await client.reserve('q')]
  if (!tracked || !ruby) throw new Error('two jobs were enqueued')
  const id = await client.recreate(tracked)
  await client.recreate(ruby)
  const [one, two] = (await redis.lrange(`${ns}:queue:q`, 0, -1)).map(
    (raw) => JSON.parse(raw) as Record<string, unknown>,
  )
  expect(one).toMatchObject({ class: 'A', args: [{ a: 1 }], id, prefix: 'p', x: { retry: { attempts: 3 } } })
  expect(two).toMatchObject({ class: 'R', args: [1, 'two'] })
  expect(id).not.toBe('old')
  expect(await client.status(id || '', 'p').isTracking()).toBe(true)
  expect(await redis.exists(`${ns}:job:${String(two?.['id'])}:status`)).toBe(0)
  expect(jobOf('q', 'junk')).toBeUndefined()
})

test('removing a queue returns its size and takes name, token, flow and pause along', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  await client.enqueueBulk([
    { queue: 'q', class: 'A' },
    { queue: 'q', class: 'A' },
    { queue: 'other', class: 'A' },
  ])
  await redis.set(`${ns}:ext:flow:q`, '1 1 0 5')
  await client.queues.pause('q')
  await client.queues.pause('other')
  expect(await client.queues.remove('q')).toBe(2)
  expect(await client.queues.remove('q')).toBe(0)
  expect(Object.keys(await snapshot(redis, ns)).filter((key) => !key.startsWith('ext:client:'))).toEqual([
    'ext:paused',
    'ext:token:other',
    'queue:other',
    'queues',
  ])
  expect(await client.queues.paused()).toEqual(['other'])
  expect(await redis.smembers(`${ns}:queues`)).toEqual(['other'])
})

const jobs = [
  '{"class":"A","args":[{"foo":1}],"id":"a1"}',
  '{"class":"B","args":[]}',
  '{"class":"A","args":[{"foo":2}],"id":"a2"}',
  'junk',
  '{"class":"C"}',
  '{"class":"A","args":[]}',
]
const cases: [readonly Item[], readonly number[]][] = [
  [['A'], [1, 3, 4]],
  [[{ A: 'a2' }], [0, 1, 3, 4, 5]],
  [[{ A: { x: 1, y: 2 } }], [1, 3, 4, 5]],
  [
    ['B', { A: { foo: 1 } }],
    [2, 3, 4, 5],
  ],
  [['Nobody'], [0, 1, 2, 3, 4, 5]],
  [[], []],
]
test.for(cases)('dequeue of %j leaves %j in their order', async ([items, left], { redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, ...jobs)
  expect(await client.queues.dequeue('q', items)).toBe(jobs.length - left.length)
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(left.map((i) => jobs[i]))
  expect(await redis.smembers(`${ns}:queues`)).toEqual(['q'])
})

test('dequeue of many: order kept, while workers take at the head and others enqueue', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const raw = (i: number): string => `{"class":"${i % 2 ? 'Go' : 'Keep'}","args":[${i}]}`
  await redis.rpush(`${ns}:queue:q`, ...Array.from({ length: 5000 }, (_, i) => raw(i)))
  const taken: string[] = []
  const busy = new AbortController()
  const worker = (async () => {
    while (!busy.signal.aborted) taken.push(...((await redis.lpop(`${ns}:queue:q`, 3)) ?? []))
  })()
  const producer = (async () => {
    for (let i = 5000; i < 5400; i += 2) await redis.rpush(`${ns}:queue:q`, raw(i))
  })()
  const removed = await client.queues.dequeue('q', ['Go'])
  await producer
  busy.abort()
  await worker
  const rest = await redis.lrange(`${ns}:queue:q`, 0, -1)
  expect(rest.every((r) => r.includes('Keep'))).toBe(true)
  const order = [...taken, ...rest].map((r) => (JSON.parse(r) as { args: [number] }).args[0])
  expect(order).toEqual([...order].sort((a, b) => a - b))
  expect(order).toHaveLength(5200 - removed)
})

test('dequeue removes jobs whose bytes are no UTF-8, too', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const odd = (byte: number): Buffer =>
    Buffer.concat([Buffer.from('{"class":"Odd","args":["'), Buffer.from([byte]), Buffer.from('"]}')])
  const jobs = [odd(0xff), '{"class":"Job","args":[]}', odd(0xfe), '{"class":"Odd","args":["\ufffd"]}']
  await redis.rpush(`${ns}:queue:q`, ...jobs, '{"class":"Job","args":[]}')
  expect(await client.queues.dequeue('q', ['Odd'])).toBe(3)
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([jobs[1], jobs[1]])
})

test('dequeue looks at few elements at a time where they are large, and at many where they are small', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const proxy = await startProxy(portOf(redisUrl))
  const looked: number[] = []
  proxy.on(
    /^EVALSHA /,
    ({ args }) => {
      const [first = 0, last = 0] = args.map(Number).filter((n) => n < 0)
      looked.push(last - first + 1)
      return undefined
    },
    Infinity,
  )
  const client = openQueue(proxy.url, ns)
  const raw = (i: number, size: number): string =>
    `{"class":"${i % 3 ? 'Go' : 'Keep'}","args":["${'x'.repeat(size)}",${i}]}`
  const large = Array.from({ length: 150 }, (_, i) => raw(i, 100_000))
  const huge = raw(1, 3_000_000)
  await redis.rpush(`${ns}:queue:q`, ...large, huge, ...large)
  expect(await client.queues.dequeue('q', ['Go'])).toBe(201)
  expect(Math.max(...looked)).toBe(19)
  const kept = large.filter((_, i) => i % 3 === 0)
  expect((await redis.lrange(`${ns}:queue:q`, 0, -1)).join() === [...kept, ...kept].join()).toBe(true)

  looked.length = 0
  await redis.rpush(`${ns}:queue:small`, ...Array.from({ length: 3000 }, (_, i) => raw(i, 10)))
  expect(await client.queues.dequeue('small', ['Go'])).toBe(2000)
  expect(Math.max(...looked)).toBe(1000)
})

test('pausing and resuming a queue; resuming wakes a worker for what waits', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await client.enqueue('a/b', 'A')
  await redis.del(`${ns}:ext:token:a/b`)
  expect(await client.queues.pause('a/b')).toBe(true)
  expect(await client.queues.pause('a/b')).toBe(false)
  expect(await client.queues.pause('é"')).toBe(true)
  expect(await client.queues.paused()).toEqual(['a/b', 'é"'])
  expect(await client.queues.resume('a/b')).toBe(true)
  expect(await client.queues.resume('a/b')).toBe(false)
  expect(await redis.llen(`${ns}:ext:token:a/b`)).toBe(1)
  expect(await client.queues.resume('é"')).toBe(true)
  expect(await redis.exists(`${ns}:ext:paused`)).toBe(0)
  expect(await redis.exists(`${ns}:ext:token:é"`)).toBe(0)
})

test('pausing all is what Ruby workers read; resuming wakes workers for every queue with jobs', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  await client.enqueueBulk([
    { queue: 'a', class: 'A' },
    { queue: 'b', class: 'A' },
  ])
  await redis.sadd(`${ns}:queues`, 'empty')
  await redis.del(`${ns}:ext:token:a`, `${ns}:ext:token:b`)
  await client.queues.pauseAll()
  expect(await redis.get(`${ns}:pause-all-workers`)).toBe('true')
  expect(await client.queues.isPausedAll()).toBe(true)
  await client.queues.resumeAll()
  expect(await redis.exists(`${ns}:pause-all-workers`)).toBe(0)
  expect(await redis.llen(`${ns}:ext:token:a`)).toBe(1)
  expect(await redis.llen(`${ns}:ext:token:b`)).toBe(1)
  expect(await redis.exists(`${ns}:ext:token:empty`)).toBe(0)
})

for (const [how, spoil] of [
  ['sent twice', everyScriptTwice],
  ['whose first reply is lost', loseEveryFirstReply],
] as const) {
  test(`pop, reserve, dequeue, remove, push and statistics ${how} have their effect once`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const proxy = await startProxy(portOf(redisUrl))
    spoil(proxy)
    const client = openQueue(proxy.url, ns)
    await redis.rpush(
      `${ns}:queue:q`,
      'junk',
      '{"class":"A","args":[1]}',
      '{"class":"A","args":[2]}',
      '{"class":"B"}',
      '{"class":"B"}',
      '{"class":"C"}',
    )
    expect(String(await client.reserve('q'))).toBe('(Job{q} | A | [1])')
    expect(await client.queues.pop('q')).toBe('{"class":"A","args":[2]}')
    expect(await client.queues.dequeue('q', ['B'])).toBe(2)
    await client.queues.push('q', { class: 'D' })
    expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(['{"class":"C"}', '{"class":"D"}'])
    expect(await client.queues.remove('q')).toBe(2)
    expect(await client.stats.incr('processed')).toBe(1)
    expect(await client.stats.incr('processed', 5)).toBe(6)
    expect(await client.stats.decr('processed', 2)).toBe(4)
    expect(await redis.llen(`${ns}:ext:quarantine`)).toBe(1)
  })
}

test('what is taken is not lost with its reply, though jobs are enqueued at the same time', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const proxy = await startProxy(portOf(redisUrl))
  const client = openQueue(proxy.url, ns)
  await client.queues.push('q', { class: 'A', args: [1] })
  loseEveryFirstReply(proxy)
  const [taken] = await Promise.all([
    client.queues.pop('q'),
    client.enqueue('other', 'B'),
    client.enqueue('other', 'C'),
  ])
  expect(taken).toBe('{"class":"A","args":[1]}')
  expect(await redis.llen(`${ns}:queue:other`)).toBe(2)
})

test('statistics: 0 where there is none, added to, cleared', async ({ redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  expect(await client.stats.get('processed')).toBe(0)
  expect(await client.stats.incr('processed:w:1:q', 3)).toBe(3)
  expect(await client.stats.get('processed:w:1:q')).toBe(3)
  expect(await client.stats.clear('processed:w:1:q')).toBe(true)
  expect(await client.stats.clear('processed:w:1:q')).toBe(false)
  expect(await client.stats.overview()).toMatchObject({
    processed: 0,
    failed: 0,
    queues: 0,
    pausedAll: false,
    pausedQueues: [],
  })
})

test('keys of other types are refused by name and nothing is changed', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await redis.set(`${ns}:queue:bad`, 'text')
  await redis.sadd(`${ns}:queues`, 'bad')
  const before = await snapshot(redis, ns)
  const refused = { code: 'REDIS_REFUSED' }
  await expect(client.queues.pop('bad')).rejects.toMatchObject(refused)
  await expect(client.reserve('bad')).rejects.toMatchObject(refused)
  await expect(client.queues.dequeue('bad')).rejects.toMatchObject(refused)
  await expect(client.queues.dequeue('bad', ['A'])).rejects.toMatchObject(refused)
  await expect(client.queues.remove('bad')).rejects.toMatchObject(refused)
  await expect(client.queues.pause('bad')).rejects.toMatchObject(refused)
  await expect(client.queues.size('bad')).rejects.toMatchObject(refused)
  expect(await snapshot(redis, ns)).toEqual(before)
})
