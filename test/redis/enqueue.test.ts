import { expect, vi } from 'vitest'
import { DoNotCreate, type JobRequest } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { startProxy } from '../support/proxy.ts'
import { snapshot } from '../support/redis.ts'
import { everyScriptTwice, loseEveryFirstReply, openQueue } from './client.ts'

const ID = /^[0-9a-f]{32}$/
const portOf = (url: string): { port: number } => ({ port: Number(new URL(url).port) })

async function queued(
  redis: { lrange(key: string, from: number, to: number): Promise<string[]> },
  ns: string,
  queue: string,
): Promise<string[]> {
  return redis.lrange(`${ns}:queue:${queue}`, 0, -1)
}

test('an enqueue writes exactly the bytes and keys of the contract', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const before = Date.now()
  const id = await client.enqueue('mail', 'SendEmail', { to: 'é', path: '/x' })
  const { 'queue:mail': list, queues, 'ext:token:mail': token, ...rest } = await snapshot(redis, ns)
  expect(id).toMatch(ID)
  const raw = String((list?.value as readonly string[] | undefined)?.[0])
  const time = /"queue_time":([\d.]+)\}$/.exec(raw)?.[1]
  expect(raw).toBe(
    `{"class":"SendEmail","args":[{"to":"é","path":"/x"}],"id":"${id}","prefix":"","queue_time":${time}}`,
  )
  expect(Number(time) * 1000).toBeGreaterThanOrEqual(before - 1)
  expect(Number(time) * 1000).toBeLessThanOrEqual(Date.now() + 1)
  expect(queues).toEqual({ type: 'set', value: ['mail'], expires: false })
  expect(token).toEqual({ type: 'list', value: ['1'], expires: false })
  expect(Object.entries(rest)).toEqual([
    [expect.stringMatching(/^ext:client:[0-9a-f]{16}$/), { type: 'string', value: '1', expires: true }],
  ])
})

test('args stand in the payload as each form of enqueue says', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await client.enqueue('q', 'A')
  await client.enqueue('q', 'A', null)
  await client.enqueue('q', 'A', {})
  await client.enqueue('q', 'A', [1, 'two'])
  await client.enqueue({ queue: 'q', class: 'A' })
  await client.enqueue({ queue: 'q', class: 'A', args: [1, { two: [] }] })
  const args = (await queued(redis, ns, 'q')).map((raw) => /"args":(.*),"id"/.exec(raw)?.[1])
  expect(args).toEqual(['[]', '[null]', '[{}]', '[[1,"two"]]', '[]', '[1,{"two":[]}]'])
})

test('a job is named by a string, a definition or a class', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const definition: { readonly jobName: string; readonly args?: [{ to: string }] } = { jobName: 'Mail::Send' }
  class Plain {
    perform(data: { n: number }): number {
      return data.n
    }
  }
  class Named extends Plain {
    static readonly jobName: string = 'App\\Named'
  }
  await client.enqueue('q', definition, { to: 'x' })
  await client.enqueue('q', Plain, { n: 1 })
  await client.enqueue('q', Named, { n: 1 })
  const names = (await queued(redis, ns, 'q')).map((raw) => (JSON.parse(raw) as { class: string }).class)
  expect(names).toEqual(['Mail::Send', 'Plain', 'App\\Named'])
})

test('track writes a waiting status without expiry, under the prefix if there is one; without track there is none', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const plain = await client.enqueue('q', 'A', {}, true)
  const prefixed = await client.enqueue('q', 'A', {}, { track: true, prefix: 'pfx' })
  const untracked = await client.enqueue('q', 'A', {})
  for (const key of [`job:${plain}:status`, `job:pfx_${prefixed}:status`]) {
    const text = (await redis.get(`${ns}:${key}`)) ?? ''
    const { updated } = JSON.parse(text) as { updated: number }
    expect(text).toBe(`{"status":1,"updated":${updated},"started":${updated},"result":null}`)
    expect(Math.abs(updated - Date.now() / 1000)).toBeLessThan(5)
    expect(await redis.ttl(`${ns}:${key}`)).toBe(-1)
  }
  expect(await redis.exists(`${ns}:job:${untracked}:status`)).toBe(0)
  expect((await queued(redis, ns, 'q'))[1]).toContain('"prefix":"pfx"')
})

test('options: an own id, and retry and timeout under the last key x', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  expect(
    await client.enqueue('q', 'A', {}, { id: 'order-7', retry: { attempts: 3, delays: [1, 5] }, timeout: 30 }),
  ).toBe('order-7')
  expect((await queued(redis, ns, 'q'))[0]).toMatch(
    /^\{"class":"A","args":\[\{\}\],"id":"order-7","prefix":"","queue_time":[\d.]+,"x":\{"retry":\{"attempts":3,"backoff":"list","delays":\[1,5\]\},"timeout":30\}\}$/,
  )
})

test('a bulk enqueue returns its ids in order, keeps the order per queue and goes by thousands', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const requests = Array.from({ length: 2500 }, (_, i): JobRequest => ({
    queue: i % 2 ? 'odd' : 'even',
    class: 'A',
    args: [i],
    track: i === 3,
  }))
  const told: number[] = []
  const ids = await client.enqueueBulk(requests, { progress: (done) => told.push(done) })
  expect(told).toEqual([1000, 2000, 2500])
  const read = async (queue: string): Promise<{ id: string; args: number[] }[]> =>
    (await queued(redis, ns, queue)).map((raw) => JSON.parse(raw) as { id: string; args: number[] })
  const [even, odd] = [await read('even'), await read('odd')]
  expect(even.map(({ args }) => args[0])).toEqual(Array.from({ length: 1250 }, (_, i) => 2 * i))
  expect(odd.map(({ id }) => id)).toEqual(ids.filter((_, i) => i % 2))
  expect(await redis.exists(`${ns}:job:${ids[3]}:status`)).toBe(1)
  expect(await redis.scard(`${ns}:queues`)).toBe(2)
})

test('one invalid item of a bulk means that nothing is written', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const requests: JobRequest[] = Array.from({ length: 3000 }, (_, i) => ({
    queue: 'q',
    class: 'A',
    args: [i === 2999 ? () => 1 : i],
  }))
  await expect(client.enqueueBulk(requests)).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('Item 2999') as string,
  })
  expect(await snapshot(redis, ns)).toEqual({})
})

test('callers that enqueue at once share calls, however many, and order is kept', async ({ redis, redisUrl, ns }) => {
  const proxy = await startProxy(portOf(redisUrl))
  const client = openQueue(proxy.url, ns)
  await client.enqueue('q', 'A', { n: -1 })
  const before = proxy.count('EVALSHA')
  // More than the eight thousand that a script can push at a time.
  await Promise.all(Array.from({ length: 20_000 }, (_, n) => client.enqueue('q', 'A', { n })))
  expect(proxy.count('EVALSHA') - before).toBeLessThanOrEqual(22)
  const seen = (await queued(redis, ns, 'q')).map((raw) => (JSON.parse(raw) as { args: [{ n: number }] }).args[0].n)
  expect(seen).toEqual(Array.from({ length: 20_001 }, (_, i) => i - 1))
})

test('listeners are told; one may veto', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const told: unknown[] = []
  client.events.listen('beforeEnqueue', (...args) => void told.push(['before', ...args]))
  client.events.listen('afterEnqueue', async (job, args, queue, id) => {
    told.push(['after', job, args, queue, id, (await queued(redis, ns, queue)).length])
  })
  client.events.listen('afterSchedule', (...args) => void told.push(['scheduled', ...args]))
  const id = await client.enqueue('q', 'A', { a: 1 })
  const later = await client.enqueueAt(4_000_000_000, 'q', 'B', { b: 1 })
  expect(told).toEqual([
    ['before', 'A', { a: 1 }, 'q', id],
    ['after', 'A', { a: 1 }, 'q', id, 1],
    ['before', 'B', { b: 1 }, 'q', later],
    ['scheduled', 4_000_000_000, 'q', 'B', { b: 1 }, later],
  ])
  const off = client.events.listen('beforeEnqueue', () => {
    throw new DoNotCreate()
  })
  expect(await client.enqueue('q', 'A', {}, true)).toBe(false)
  off()
  client.events.listen('beforeEnqueue', (job) => job !== 'Bad')
  expect(
    await client.enqueueBulk([
      { queue: 'q', class: 'Good' },
      { queue: 'q', class: 'Bad' },
    ]),
  ).toEqual([expect.stringMatching(ID), false])
  expect(told).toContainEqual(['after', 'Good', [], 'q', expect.stringMatching(ID), 2])
  client.events.listen('beforeEnqueue', () => {
    throw new RangeError('not now')
  })
  await expect(client.enqueue('q', 'A')).rejects.toThrow(RangeError)
  expect(await queued(redis, ns, 'q')).toHaveLength(2)
})

test('a listener of afterEnqueue that throws does not make the enqueue fail', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const warn = vi.spyOn(process, 'emitWarning').mockReturnValue()
  client.events.listen('afterEnqueue', () => {
    throw new Error('mail server away')
  })
  expect(await client.enqueue('q', 'A')).toMatch(ID)
  expect(warn).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('mail server away'), {
    code: 'RESQUEUE_LISTENER',
  })
  warn.mockRestore()
  expect(await queued(redis, ns, 'q')).toHaveLength(1)
})

test('every script sent twice leaves what it leaves once', async ({ redis, redisUrl, ns }) => {
  const proxy = await startProxy(portOf(redisUrl))
  everyScriptTwice(proxy)
  const client = openQueue(proxy.url, ns)
  for (let i = 0; i < 3; i++) await client.enqueue('q', 'A', { i }, true)
  await client.enqueueBulk(Array.from({ length: 2000 }, (_, i) => ({ queue: 'bulk', class: 'A', args: [i] })))
  await client.enqueueAt(4_000_000_000, 'q', 'B')
  expect(await redis.llen(`${ns}:queue:q`)).toBe(3)
  expect(await redis.llen(`${ns}:queue:bulk`)).toBe(2000)
  expect(await redis.llen(`${ns}:delayed:4000000000`)).toBe(1)
  expect(await redis.llen(`${ns}:ext:token:q`)).toBe(1)
})

test('lost replies neither lose nor double a job, and order is kept', async ({ redis, redisUrl, ns }) => {
  const proxy = await startProxy(portOf(redisUrl))
  loseEveryFirstReply(proxy)
  const client = openQueue(proxy.url, ns)
  const ids: unknown[] = []
  for (let i = 0; i < 5; i++)
    ids.push(...(await Promise.all([client.enqueue('q', 'A', { i }), client.enqueue('q', 'A', { i })])))
  expect((await queued(redis, ns, 'q')).map((raw) => (JSON.parse(raw) as { id: string }).id)).toEqual(ids)
})

test('without any answer for five seconds the error says that the job may have been enqueued, and names it', async ({
  redisUrl,
  ns,
}) => {
  const proxy = await startProxy(portOf(redisUrl))
  const client = openQueue(proxy.url, ns)
  await client.enqueue('q', 'A')
  proxy.on('EVALSHA', { kind: 'drop-reply' }, Infinity)
  const started = performance.now()
  await expect(client.enqueue('q', 'A', {}, { id: 'mine' })).rejects.toMatchObject({
    code: 'ENQUEUE_UNCERTAIN',
    data: { id: 'mine', ids: ['mine'] },
  })
  expect(performance.now() - started).toBeGreaterThan(4500)
  expect(performance.now() - started).toBeLessThan(9500)
})

test('a call given up on does nothing when its bytes arrive after a newer one', async ({ redis, redisUrl, ns }) => {
  const proxy = await startProxy(portOf(redisUrl))
  const client = openQueue(proxy.url, ns)
  await client.enqueue('q', 'A', { n: 0 })
  const late = Promise.withResolvers<void>()
  const armed = proxy.on('EVALSHA', { kind: 'late', until: late.promise })
  const first = client.enqueue('q', 'A', { n: 1 })
  await armed.hit
  await first
  await client.enqueue('q', 'A', { n: 2 })
  late.resolve()
  await armed.performed
  expect(await redis.llen(`${ns}:queue:q`)).toBe(3)
})

test('without Redis calls are rejected after five seconds, all of them, and nothing runs later', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const proxy = await startProxy(portOf(redisUrl))
  proxy.refusing = true
  const client = openQueue(proxy.url, ns)
  const started = performance.now()
  const results = await Promise.allSettled([
    ...Array.from({ length: 2500 }, () => client.enqueue('q', 'A')),
    client.queues.size('q'),
    client.stats.incr('processed'),
  ])
  expect(performance.now() - started).toBeGreaterThan(4500)
  expect(performance.now() - started).toBeLessThan(9500)
  for (const result of results)
    expect(result).toMatchObject({
      status: 'rejected',
      reason: {
        code: 'REDIS_UNAVAILABLE',
        message: expect.stringMatching(/did not answer within \d(\.\d)? s[.:]/) as string,
      },
    })
  proxy.refusing = false
  await client.enqueue('q', 'B')
  expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
})

test('a refusal that passes is waited for; one that does not pass says that nothing was written', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const proxy = await startProxy(portOf(redisUrl))
  const client = openQueue(proxy.url, ns)
  await client.enqueue('q', 'A')
  proxy.on('EVALSHA', { kind: 'answer', reply: '-LOADING Redis is loading the dataset in memory\r\n' }, 1)
  await Promise.all(Array.from({ length: 50 }, () => client.enqueue('q', 'A'))) // in two calls: one comes too early
  proxy.on('EVALSHA', { kind: 'answer', reply: '-MISCONF Redis is configured to save RDB snapshots\r\n' }, Infinity)
  await expect(client.enqueue('q', 'A')).rejects.toMatchObject({
    code: 'REDIS_REFUSED',
    message: expect.stringContaining('save to disk') as string,
  })
  expect(await redis.llen(`${ns}:queue:q`)).toBe(51)
})

test('a closed client refuses, and closing finishes what is under way', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  // The first of them has not even asked for a connection.
  const under = Array.from({ length: 100 }, () => client.enqueue('q', 'A'))
  await client.close()
  await client.close()
  await Promise.all(under)
  expect(await redis.llen(`${ns}:queue:q`)).toBe(100)
  await expect(client.enqueue('q', 'A')).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
})

test('closing waits for every call that was made before, however far it has come', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await client.enqueue('q', 'A', {}, { id: 'known', track: true })
  const gate = Promise.withResolvers<void>()
  client.events.listen('beforeEnqueue', () => gate.promise)
  const calls = [
    client.enqueue('q', 'A'),
    client.enqueueBulk([{ queue: 'q', class: 'A' }]),
    client.enqueueIn(60, 'q', 'A'),
    client.queues.pause('q'),
    client.failed.list(),
    client.stats.incr('some'),
    client.status('known').get(),
  ]
  const closing = client.close()
  for (const late of [client.enqueue('q', 'A'), client.queues.names(), client.stats.incr('some')])
    await expect(late).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE', message: 'This client was closed.' })
  gate.resolve()
  await closing
  await Promise.all(calls)
  expect(await redis.llen(`${ns}:queue:q`)).toBe(3)
})

test('keys of other types: nothing is written, and the error names the reason', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await redis.set(`${ns}:queue:bad`, 'text')
  await redis.set(`${ns}:delayed:4000000000`, 'text')
  const before = await snapshot(redis, ns)
  const refused = { code: 'REDIS_REFUSED', message: expect.stringContaining('another type') as string }
  await expect(client.enqueue('bad', 'A')).rejects.toMatchObject(refused)
  await expect(
    client.enqueueBulk([
      { queue: 'good', class: 'A' },
      { queue: 'bad', class: 'A' },
    ]),
  ).rejects.toMatchObject(refused)
  await expect(
    client.enqueueBulk([
      { queue: 'bad', class: 'A' },
      { queue: 'good', class: 'A' },
    ]),
  ).rejects.toMatchObject(refused)
  await expect(client.enqueueAt(4_000_000_000, 'q', 'A')).rejects.toMatchObject(refused)
  expect(await snapshot(redis, ns)).toEqual(before)
  await redis.set(`${ns}:queues`, 'text')
  await expect(client.enqueue('q', 'A')).rejects.toMatchObject(refused)
  expect(await redis.exists(`${ns}:queue:q`)).toBe(0)
})

test('a token key of another type is left alone', async ({ redis, redisUrl, ns }) => {
  await redis.set(`${ns}:ext:token:q`, 'text')
  await openQueue(redisUrl, ns).enqueue('q', 'A')
  expect(await redis.get(`${ns}:ext:token:q`)).toBe('text')
  expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
})

test('a payload of 50 MB goes through', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const text = 'é'.repeat(25_000_000)
  await client.enqueue('q', 'A', { text })
  expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
  const [raw] = await queued(redis, ns, 'q')
  expect(raw?.length).toBeGreaterThan(25_000_000)
  expect((JSON.parse(raw ?? '') as { args: [{ text: string }] }).args[0].text === text).toBe(true)
})

test('a delayed job is filed as the family files it', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const id = await client.enqueueAt(
    new Date(4_000_000_000_001),
    'mail',
    'A',
    { p: '/x é' },
    { track: true, timeout: 3 },
  )
  const item = `{"class":"A","args":[{"p":"/x é"}],"id":"${id}","prefix":"","queue_time":4000000001,"queue":"mail","x":{"timeout":3}}`
  const { [`job:${id}:status`]: status, ...rest } = await snapshot(redis, ns)
  expect(status?.value).toContain('"status":1')
  expect(Object.fromEntries(Object.entries(rest).filter(([key]) => !key.startsWith('ext:client:')))).toEqual({
    'delayed:4000000001': { type: 'list', value: [item], expires: false },
    delayed_queue_schedule: { type: 'zset', value: { '4000000001': '4000000001' }, expires: false },
    [`timestamps:${item}`]: { type: 'set', value: ['delayed:4000000001'], expires: false },
  })
  const now = Date.now() / 1000
  await client.enqueueIn(0.5, 'mail', 'B')
  const [second] = await redis.zrangebyscore(`${ns}:delayed_queue_schedule`, '-inf', '3000000000')
  expect(Number(second)).toBeGreaterThanOrEqual(Math.ceil(now + 0.5))
  expect(Number(second)).toBeLessThanOrEqual(Math.ceil(Date.now() / 1000 + 0.5))
})
