import { expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { load, readGolden } from '../wire/golden.ts'
import { register, workerId, type Registration } from '../../src/queue/registry.ts'
import { startProxy } from '../support/proxy.ts'
import { openQueue, openTestLane } from './client.ts'

function registration(nonce: string, slots = 2): Registration {
  return {
    nonce,
    name: `host.${nonce}`,
    tail: ':7:mail,*',
    slots,
    instance: '',
    host: 'host',
    pid: 7,
    pid_namespace: '',
    boot_id: '',
    pod: `pod-${nonce}`,
    pod_namespace: 'prod',
    pod_uid: `uid-${nonce}`,
    container: 'worker',
    started: 1795371757000,
    version: '0.1.0',
    isolation: 'fork',
    lease_ms: 8000,
  }
}

test('our processes are listed with what each slot runs', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  const { store } = openTestLane(redisUrl, ns)
  await register(store, registration('aaaaaaaaaaaa'))
  await register(store, registration('bbbbbbbbbbbb', 1))
  await redis.hset(`${ns}:ext:inflight:aaaaaaaaaaaa`, {
    '0': '5 1795371757491 4 mail{"class":"A","args":[],"id":"j1"}',
    '1': `6 1795371757999 3 é!{"class":"Big","args":["${'x'.repeat(50_000)}"],"id":"j2","prefix":"","queue_time":1}`,
  })
  await redis.del(`${ns}:ext:lease:bbbbbbbbbbbb`)
  await redis.set(`${ns}:ext:draining:prod/uid-bbbbbbbbbbbb`, 'token')
  const [one, two] = [...(await client.workers.list())].sort((a, b) => (a.id < b.id ? -1 : 1))
  expect(one).toMatchObject({
    kind: 'process',
    id: 'aaaaaaaaaaaa',
    host: 'host',
    pid: 7,
    queues: ['mail', '*'],
    slots: 2,
    alive: true,
    paused: false,
    draining: false,
    started: new Date(1795371757000),
  })
  expect(one?.running).toEqual([
    { slot: 0, queue: 'mail', since: new Date(1795371757491), class: 'A', id: 'j1' },
    { slot: 1, queue: 'é!', since: new Date(1795371757999), class: 'Big', id: 'j2' },
  ])
  expect(two).toMatchObject({ id: 'bbbbbbbbbbbb', alive: false, draining: true, running: [] })
  expect(await client.workers.list()).toHaveLength(2)

  for (const id of ['aaaaaaaaaaaa', 'host.aaaaaaaaaaaa', 'pod-aaaaaaaaaaaa', workerId(registration('aaaaaaaaaaaa'), 1)])
    expect(await client.workers.show(id)).toMatchObject({ id: 'aaaaaaaaaaaa' })
  expect(await client.workers.show('nobody')).toBeUndefined()
  expect((await client.jobs.find('j2')).places).toMatchObject([
    { kind: 'running', worker: { id: 'aaaaaaaaaaaa' }, running: { slot: 1 } },
  ])
})

test('a process is paused and resumed by its nonce', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await register(openTestLane(redisUrl, ns).store, registration('aaaaaaaaaaaa'))
  await client.enqueue('mail', 'A')
  await redis.del(`${ns}:ext:token:mail`)
  expect(await client.workers.pause('aaaaaaaaaaaa')).toBe('paused')
  expect(await redis.hget(`${ns}:ext:inflight:aaaaaaaaaaaa`, 'paused')).toBe('1')
  expect(await client.workers.show('aaaaaaaaaaaa')).toMatchObject({ paused: true })
  expect(await client.workers.resume('aaaaaaaaaaaa')).toBe('resumed')
  expect(await client.workers.show('aaaaaaaaaaaa')).toMatchObject({ paused: false })
  expect(await redis.llen(`${ns}:ext:token:mail`)).toBe(1)
  expect(await client.workers.pause('nobody')).toBe('absent')
  expect(await client.workers.resume('nobody')).toBe('absent')
  expect(await redis.exists(`${ns}:ext:inflight:nobody`)).toBe(0)
})

test('processes beyond the limit are not taken for workers of others, of which the first by name are listed', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  const { store } = openTestLane(redisUrl, ns)
  for (const nonce of ['aaaaaaaaaaaa', 'bbbbbbbbbbbb', '0123456789ab']) await register(store, registration(nonce))
  await redis.sadd(`${ns}:workers`, 'vm:7:mail', 'ruby:7:mail', 'host.aaa.0:7:mail')
  expect(await client.workers.list({ limit: 0 })).toEqual([])
  const listed = await client.workers.list({ limit: 2 })
  expect(listed.map(({ kind }) => kind)).toEqual(['process', 'process', 'foreign', 'foreign'])
  expect(listed.slice(2).map(({ id }) => id)).toEqual(['host.aaa.0:7:mail', 'ruby:7:mail'])
})

test('workers of Ruby, php, node-resque and redisQueue are listed with what they run', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  for (const name of [
    '02-php-working-failed.txt',
    '03-ruby-working-failed.txt',
    '04-node-working-failed.txt',
    '05-redisqueue-working-failed.txt',
  ]) {
    const entries = Object.values(readGolden(name))[0] ?? []
    await load(
      redis,
      ns,
      entries.filter(({ key }) => key.startsWith('worker:') || key.startsWith('workers')),
    )
  }
  await redis.sadd(`${ns}:workers`, 'odd')
  await redis.set(`${ns}:worker:odd`, 'junk')
  const listed = await client.workers.list()
  expect(listed.map((w) => [w.id, w.kind, w.host, w.pid, w.queues, w.started?.toISOString()])).toEqual([
    ['odd', 'foreign', 'odd', undefined, [], undefined],
    ['vm:16984:default', 'foreign', 'vm', 16984, ['default'], '2026-11-22T18:39:48.000Z'],
    ['vm:17275:default', 'foreign', 'vm', 17275, ['default'], '2026-11-22T18:40:00.000Z'],
    ['vm:17358:default,low', 'foreign', 'vm', 17358, ['default', 'low'], '2026-11-22T18:40:06.000Z'],
    ['vm:17434:default', 'foreign', 'vm', 17434, ['default'], '2026-11-23T02:40:11.000Z'],
  ])
  expect(listed.map((w) => w.running.map(({ class: name, since }) => [name, since?.toISOString()]))).toEqual([
    [],
    [],
    [['SleepJob', '2026-11-22T18:40:00.000Z']],
    [['SleepJob', '2026-11-22T18:40:06.000Z']],
    [['SleepJob', '2026-11-23T02:40:11.000Z']],
  ])
  expect(await client.workers.show('vm:17275:default')).toMatchObject({ heartbeat: new Date('2026-11-22T18:40:00Z') })
})

test('each of hundreds of foreign workers is listed with what is its own', async ({ redis, redisUrl, ns }) => {
  const ids = Array.from({ length: 250 }, (_, i) => `vm:${1000 + i}:mail`)
  const payload = { class: 'A', args: [] }
  const fill = redis.pipeline().sadd(`${ns}:workers`, ...ids)
  for (const id of ids) fill.set(`${ns}:worker:${id}`, JSON.stringify({ queue: id, run_at: null, payload }))
  await fill.exec()
  const listed = await openQueue(redisUrl, ns).workers.list()
  expect(listed.map(({ id, pid, running }) => [id, pid, running[0]?.queue])).toEqual(
    ids.map((id, i) => [id, 1000 + i, id]),
  )
})

test('a job is found wherever it is', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await client.enqueueBulk(Array.from({ length: 1500 }, (_, i) => ({ queue: 'q', class: 'A', args: [i], id: `w${i}` })))
  await client.enqueueAt(4_000_000_000, 'q', 'A', {}, { id: 'later', track: true })
  await redis.rpush(
    `${ns}:failed`,
    '{"failed_at":"2026/11/22 18:25:21 UTC","payload":{"class":"A","id":"bad"},"queue":"q"}',
  )
  await redis.zadd(`${ns}:ext:retry`, 5, 'n.1 1 1 1 qE{"class":"A","id":"again"}')
  expect(await client.jobs.find('w1234')).toMatchObject({
    status: false,
    complete: true,
    places: [{ kind: 'waiting', queue: 'q', position: 1234 }],
  })
  expect(await client.jobs.find('later')).toMatchObject({
    status: { state: 'waiting' },
    places: [{ kind: 'delayed', job: { second: 4_000_000_000 } }],
  })
  expect(await client.jobs.find('bad')).toMatchObject({ places: [{ kind: 'failed', entry: { index: 0 } }] })
  expect(await client.jobs.find('again')).toMatchObject({ places: [{ kind: 'retry', entry: { claim: 'n.1' } }] })
  await redis.sadd(`${ns}:failed_queues`, 'q_failed', 'p_failed')
  await redis.rpush(`${ns}:q_failed`, '{"payload":{"class":"A","id":"own"},"queue":"q"}')
  await redis.rpush(`${ns}:p_failed`, '{"payload":{"class":"A","id":"own"},"queue":"p"}')
  const own = { kind: 'failed', entry: { index: 0 } }
  expect((await client.jobs.find('own')).places).toMatchObject([
    { ...own, listOf: 'p' },
    { ...own, listOf: 'q' },
  ])
  expect((await client.jobs.find('own', { queue: 'q' })).places).toMatchObject([{ ...own, listOf: 'q' }])
  await redis.rpush(
    `${ns}:ext:quarantine`,
    '1795371757491 1 q{"class":7,"args":["odd"],"id":"odd1"}',
    '1795371757491 1 q{"class":7,"args":["odd1"],"id":"odd2"}',
    '1795371757491 1 q{"class":"A","id":"odd3","args":[',
  )
  for (const [index, id] of ['odd1', 'odd2', 'odd3'].entries())
    expect(await client.jobs.find(id)).toMatchObject({ places: [{ kind: 'quarantine', entry: { index, queue: 'q' } }] })
  expect(await client.jobs.find('nobody')).toEqual({ id: 'nobody', status: false, places: [], complete: true })
})

test('a job that goes on while it is looked for is found, whenever it does', async ({ redis, redisUrl, ns }) => {
  const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
  const looking = openQueue(proxy.url, ns)
  await register(openTestLane(redisUrl, ns).store, registration('aaaaaaaaaaaa'))
  await redis.sadd(`${ns}:queues`, 'q')
  const raw = '{"class":"A","args":[],"id":"mover","queue":"q"}'
  const others = Array.from({ length: 600 }, (_, i) => `{"class":"A","args":[${i}]}`)
  const clear = (): Promise<unknown> =>
    redis.del(
      ...['delayed:5', 'delayed_queue_schedule', 'queue:q', 'ext:inflight:aaaaaaaaaaaa', 'ext:retry', 'failed'].map(
        (key) => `${ns}:${key}`,
      ),
    )
  const stations: Record<string, () => Promise<unknown>> = {
    delayed: () => Promise.all([redis.zadd(`${ns}:delayed_queue_schedule`, 5, 5), redis.rpush(`${ns}:delayed:5`, raw)]),
    last: () => redis.rpush(`${ns}:queue:q`, ...others, raw),
    next: () => redis.rpush(`${ns}:queue:q`, ...others.slice(200), raw),
    running: () => redis.hset(`${ns}:ext:inflight:aaaaaaaaaaaa`, '0', `5 1795371757491 1 q${raw}`),
    retry: () => redis.zadd(`${ns}:ext:retry`, 5, `n.1 1 1 1 qE${raw}`),
    failed: () => redis.rpush(`${ns}:failed`, `{"payload":${raw},"queue":"q"}`),
  }
  await looking.jobs.find('mover')
  const ways = ['delayed last', 'last next', 'next running', 'running retry', 'running failed', 'retry failed']
  for (const way of ways) {
    const [from, to] = way.split(' ').map((name) => stations[name] as () => Promise<unknown>)
    await from?.()
    const before = proxy.count()
    expect((await looking.jobs.find('mover')).places, way).toHaveLength(1)
    const requests = proxy.count() - before
    expect(requests).toBeGreaterThan(5)
    for (let nth = 1; nth <= requests; nth++) {
      await clear()
      await from?.()
      const moved = Promise.withResolvers<void>()
      let seen = 0
      const held = proxy.on(() => ++seen === nth, { kind: 'hold-request', until: moved.promise })
      const finding = looking.jobs.find('mover')
      await held.hit
      await clear()
      await to?.()
      moved.resolve()
      expect((await finding).places, `${way}, before request ${nth} of ${requests}`).not.toEqual([])
    }
    await clear()
  }
})

test('a job that is looked for in more jobs than may be looked through is looked for in no further queue', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
  let sizes = 0
  const count = (): undefined => void sizes++
  proxy.on(/^LLEN .*:queue:/, count, Infinity)
  const client = openQueue(proxy.url, ns)
  const queues = Array.from({ length: 300 }, (_, i) => `q${i}`)
  await redis.sadd(`${ns}:queues`, 'a', ...queues)
  await redis.rpush(`${ns}:queue:a`, ...Array.from({ length: 10_001 }, () => '{"class":"A","args":[]}'))
  expect(await client.jobs.find('one')).toMatchObject({ places: [], complete: false })
  expect(sizes).toBe(1)
  await redis.lpop(`${ns}:queue:a`)
  expect(await client.jobs.find('one')).toMatchObject({ places: [], complete: true })
  expect(sizes).toBe(302)
})
