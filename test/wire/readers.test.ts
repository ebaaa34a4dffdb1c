import { expect } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { snapshot } from '../support/redis.ts'
import { familyViolations, payloadText } from './family.ts'
import { elements, load, readGolden, type Entry } from './golden.ts'

/** What each program left in the middle of a job, and what our reader must make of it. */
const SYSTEMS = [
  {
    program: 'php-resque',
    entries: readGolden('02-php-working-failed.txt')['php-resque worker, mid-job'] ?? [],
    failedAt: [
      '2026-11-22T18:39:48.000Z',
      '2026-11-22T18:39:49.000Z',
      '2026-11-22T18:39:50.000Z',
      '2026-11-22T18:39:50.000Z',
    ],
    classes: ['ThrowJob', 'ExitJob', 'KillJob', String.raw`No\Such`],
    worker: {
      id: 'vm:16984:default',
      pid: 16_984,
      queues: ['default'],
      started: '2026-11-22T18:39:48.000Z',
      heartbeat: undefined,
    },
    running: [],
  },
  {
    program: 'Ruby Resque',
    entries: readGolden('03-ruby-working-failed.txt')['Ruby resque 3.0.0 worker, mid-job'] ?? [],
    failedAt: ['2026-11-22T18:40:00.000Z', '2026-11-22T18:40:00.000Z', '2026-11-22T18:40:00.000Z'],
    classes: ['ThrowJob', 'KillJob', 'No::Such'],
    worker: {
      id: 'vm:17275:default',
      pid: 17_275,
      queues: ['default'],
      started: '2026-11-22T18:40:00.000Z',
      heartbeat: '2026-11-22T18:40:00.000Z',
    },
    running: [['default', 'SleepJob', '2026-11-22T18:40:00.000Z']],
  },
  {
    program: 'node-resque',
    entries: readGolden('04-node-working-failed.txt')['node-resque worker, mid-job'] ?? [],
    failedAt: ['2026-11-22T18:40:06.000Z', '2026-11-22T18:40:06.000Z'],
    classes: ['ThrowJob', 'NoSuch'],
    worker: {
      id: 'vm:17358:default,low',
      pid: 17_358,
      queues: ['default', 'low'],
      started: '2026-11-22T18:40:06.000Z',
      heartbeat: undefined,
    },
    running: [['default', 'SleepJob', '2026-11-22T18:40:06.000Z']],
  },
  {
    program: 'redisQueue',
    entries: readGolden('05-redisqueue-working-failed.txt')['redisQueue worker, mid-job'] ?? [],
    // Local time without a zone: read as UTC, for want of anything better.
    failedAt: ['2026-11-23T02:40:11.000Z'],
    classes: ['ThrowJob'],
    worker: {
      id: 'vm:17434:default',
      pid: 17_434,
      queues: ['default'],
      started: '2026-11-23T02:40:11.000Z',
      heartbeat: undefined,
    },
    running: [['default', 'SleepJob', '2026-11-23T02:40:11.000Z']],
  },
] as const

for (const { program, entries, failedAt, classes, worker, running } of SYSTEMS) {
  const failed = elements(entries, 'failed')

  test(`the failed jobs of ${program} are listed with their dates, classes, errors and backtraces`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    await load(redis, ns, entries)
    await using client = new ResQueue({ redis: redisUrl, namespace: ns })
    const page = await client.failed.list({ order: 'oldest' })
    expect(page.total).toBe(failed.length)
    expect(page.entries.map((one) => one.failedAt?.toISOString())).toEqual(failedAt)
    expect(page.entries.map((one) => one.payload?.class)).toEqual(classes)
    for (const [i, text] of failed.entries()) {
      const { exception, error, backtrace, queue, worker: name } = JSON.parse(text) as Record<string, unknown>
      expect(page.entries[i]).toMatchObject({ exception, error, backtrace, queue, worker: name, text })
    }
    const boom = await client.failed.list({ class: classes[0], error: 'BOOM' })
    expect(boom.entries.map((one) => one.text)).toEqual(failed.filter((text) => text.includes('boom')))
  })

  test(`a retry moves the failed jobs of ${program} to their queue with the bytes they have`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    await load(redis, ns, entries)
    await using client = new ResQueue({ redis: redisUrl, namespace: ns })
    expect(await client.failed.retry({ all: true })).toEqual({ moved: failed.length, skipped: 0 })
    const queued = await redis.lrange(`${ns}:queue:default`, 0, -1)
    expect(queued).toHaveLength(failed.length)
    for (const [i, text] of failed.entries()) {
      expect(text).toContain(`"payload":${queued[i]}`)
      if (program !== 'node-resque') expect(queued[i]).toBe(payloadText(text))
    }
    expect(await client.failed.count()).toBe(0)
  })

  test(`the worker of ${program} is listed with its queues, its start and its job`, async ({ redis, redisUrl, ns }) => {
    await load(redis, ns, entries)
    await using client = new ResQueue({ redis: redisUrl, namespace: ns })
    const before = await snapshot(redis, ns)
    const all = await client.workers.list()
    const times = (date: Date | undefined): string | undefined => date?.toISOString()
    expect(all.map((one) => one.kind)).toEqual(['foreign'])
    const [found] = all
    if (found?.kind !== 'foreign') throw new Error('no foreign worker')
    expect({ ...found, started: times(found.started), heartbeat: times(found.heartbeat) }).toMatchObject({
      host: 'vm',
      ...worker,
    })
    expect(found.running.map((job) => [job.queue, job.class, times(job.since)])).toEqual(running)
    expect(await client.workers.show(worker.id)).toEqual(found)
    const stats = await client.stats.overview()
    expect(stats.processed).toBe(Number(before['stat:processed']?.value ?? 0))
    expect(stats.failed).toBe(Number(before['stat:failed']?.value ?? 0))
    // Looking changes nothing.
    expect(await snapshot(redis, ns)).toEqual(before)
  })
}

test('the six forms of failed_at are read as the same moment, and what is none as no date', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const forms = [
    '2026/11/22 18:25:21 UTC',
    '2026-11-22T18:25:21+00:00',
    '2026-11-22 18:25:21',
    'Sun Nov 22 18:25:21 UTC 2026',
    'Sun Nov 22 2026 18:25:21 GMT+0000 (Coordinated Universal Time)',
    '2026/11/22 18:25:21',
    '2026-11-22T20:25:21.000+02:00',
    'Sun Nov 22 2026 13:25:21 GMT-0500 (Eastern Standard Time)',
  ]
  const entryOf = (failed_at: unknown): string =>
    JSON.stringify({ failed_at, payload: { class: 'A', args: [] }, queue: 'q' })
  await redis.rpush(`${ns}:failed`, ...forms.map(entryOf))
  await redis.rpush(`${ns}:failed`, ...['yesterday', null, [], {}, '', '2026-13-45 99:00:00'].map(entryOf))
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const { entries } = await client.failed.list({ order: 'oldest' })
  const read = entries.map((one) => one.failedAt?.toISOString())
  expect(read.slice(0, forms.length)).toEqual(forms.map(() => '2026-11-22T18:25:21.000Z'))
  expect(read.slice(forms.length)).toEqual([undefined, undefined, undefined, undefined, undefined, undefined])
  const since = await client.failed.list({ since: new Date('2026-11-22T18:25:22Z') })
  expect(since.entries).toEqual([])
})

test('entries that no dashboard could show are listed, kept by a retry, and can be removed', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const odd = [
    '',
    'no json',
    '[]',
    'null',
    '{"failed_at":"2026/11/22 18:25:21 UTC","payload":null,"exception":"E","error":"e","backtrace":null,"worker":"w","queue":"q"}',
    '{"failed_at":"2026/11/22 18:25:21 UTC","payload":[],"exception":"E","error":"e","backtrace":"one\\ntwo","queue":"q"}',
    '{"failed_at":1795371933,"payload":"text","queue":"q"}',
    '{"payload":{"class":"A","args":[]}}',
  ]
  await redis.rpush(`${ns}:failed`, ...odd)
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const { entries } = await client.failed.list({ order: 'oldest' })
  expect(entries.map((one) => one.text)).toEqual(odd)
  expect(entries.map((one) => one.backtrace)).toEqual([[], [], [], [], [], ['one', 'two'], [], []])
  expect(await client.failed.retry({ all: true })).toEqual({ moved: 0, skipped: odd.length })
  expect(await redis.lrange(`${ns}:failed`, 0, -1)).toEqual(odd)
  expect(await client.failed.remove({ index: 1 })).toBe(1)
  expect(await redis.lrange(`${ns}:failed`, 0, -1)).toEqual(odd.filter((_, i) => i !== 1))
  expect(await client.failed.clear()).toBe(odd.length - 1)
})

test("statuses of php-resque and redisQueue are read, also those without 'started' and 'result'", async ({
  redis,
  redisUrl,
  ns,
}) => {
  const php = readGolden('02-php-working-failed.txt')['php-resque worker, mid-job'] ?? []
  const rq = readGolden('05-redisqueue-working-failed.txt')['redisQueue worker, mid-job'] ?? []
  const statuses = [...php, ...rq].filter(({ key }) => key.endsWith(':status'))
  expect(statuses).toHaveLength(11)
  await load(redis, ns, statuses)
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  for (const { key, value } of statuses) {
    const theirs = JSON.parse(value as string) as {
      status: number
      updated: number
      started?: number
      result?: unknown
    }
    const found = await client.status(key.split(':')[1] as string).get()
    const seconds = (date: Date | undefined): number | undefined => date && date.getTime() / 1000
    if (found === false) throw new Error(`${key} was not read`)
    expect([found.code, seconds(found.updated), seconds(found.started), found.result]).toEqual([
      theirs.status,
      theirs.updated,
      theirs.started,
      theirs.result ?? null,
    ])
  }
})

test('delayed jobs of php, ruby and node are listed and removed by what they are, not by their bytes', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await load(redis, ns, readGolden('06-delayed.txt')['delayed: php, ruby, node'] ?? [])
  await redis.hset(`${ns}:delayed:last_enqueued_at`, 'nightly', '2026-11-22 18:37:26 +0000')
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const all = await client.delayed.list()
  expect(all.map((one) => [one.second, one.queue, one.payload?.class, one.payload?.args])).toEqual([
    [1795376418, 'default', 'OkJob', [{ p: '/x é' }]],
    [1795376418, 'default', 'OkJob', [{ p: '/x é' }]],
    [1795376419, 'default', 'OkJob', [{ p: '/x é' }]],
  ])
  expect([await client.delayed.scheduleSize(), await client.delayed.timestampSize(1795376418)]).toEqual([2, 2])
  expect(await client.delayed.remove({ class: 'OkJob', args: [{ p: 'other' }] })).toBe(0)
  expect(await client.delayed.remove({ queue: 'default', class: 'OkJob', args: [{ p: '/x é' }] })).toBe(3)
  const left = Object.keys(await snapshot(redis, ns)).filter((key) => /^(delayed|timestamps)/.test(key))
  expect(left).toEqual(['delayed:last_enqueued_at'])
})

test('jobs that others enqueued are found in a queue by class, id and values, whatever their bytes', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const parts = readGolden('01-enqueue.txt')
  const all = Object.values(parts).flatMap((entries: readonly Entry[]) => elements(entries, 'queue:default'))
  await redis.sadd(`${ns}:queues`, 'default')
  await redis.rpush(`${ns}:queue:default`, ...all)
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  expect(await client.queues.peek('default', 0, 100)).toEqual(all)
  // php-resque's rule: every value of the job's first argument is among those given.
  expect(await client.queues.dequeue('default', [{ OkJob: { a: 1, path: '/app/x' } }])).toBe(0)
  expect(await client.queues.dequeue('default', [{ OkJob: { x: 1, y: '/app/x', z: 'é', more: 2 } }])).toBe(4)
  expect(await redis.lrange(`${ns}:queue:default`, 0, -1)).toEqual([all[1], all[3]])
  expect(await client.queues.dequeue('default', [{ OkJob: 'b5abb91d0a78a71b1f1b87222a9a86b9' }])).toBe(1)
  expect(await client.queues.dequeue('default', ['OkJob'])).toBe(1)
  expect(await familyViolations(redis, ns)).toEqual([])
})
