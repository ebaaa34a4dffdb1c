import { expect } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { keysUnder, snapshot } from '../support/redis.ts'
import { waitFor } from '../support/wait.ts'
import { familyViolations, payloadText } from './family.ts'
import { elements, entry, goldenText, load, readGolden, type Entry } from './golden.ts'
import { startWireWorker, waitForRest } from './worker.ts'

const enqueued = readGolden('01-enqueue.txt')
const part = (heading: string): readonly Entry[] => enqueued[`enqueue by ${heading}`] ?? []
const first = { a: 1, path: '/app/x', s: 'é' }

/** What each program enqueued, and the arguments that its job must see. */
const PRODUCERS = [
  ['php', [[first], [null]]],
  ['ruby', [[first, 2], []]],
  ['node', [[first, []]]],
  ['ly2513/redisQueue', [[first]]],
] as const

for (const [producer, expected] of PRODUCERS) {
  test(`jobs as ${producer} enqueues them are performed with their arguments`, async ({ redis, redisUrl, ns }) => {
    await load(redis, ns, part(producer))
    const worker = await startWireWorker(redisUrl, ns)
    expect((await worker.sees(expected.length)).map(({ args }) => args)).toEqual(expected)
    await waitForRest(redis, ns)
    expect(await redis.llen(`${ns}:failed`)).toBe(0)
    expect(await redis.get(`${ns}:stat:processed`)).toBe(String(expected.length))
    for (const { key } of part(producer).filter(({ key }) => key.endsWith(':status'))) {
      const { status, started } = JSON.parse((await redis.get(`${ns}:${key}`)) ?? 'null') as Record<string, unknown>
      const { started: before } = JSON.parse(entry(part(producer), key).value as string) as Record<string, unknown>
      expect([status, started]).toEqual([4, before])
    }
    expect(await familyViolations(redis, ns)).toEqual([])
  })

  test(`the bytes that ${producer} wrote stand in the busy worker and in the failure unchanged`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const raws = elements(part(producer), 'queue:default')
    const failing = raws.map((raw) => raw.replace('OkJob', 'ThrowJob'))
    const worker = await startWireWorker(redisUrl, ns, { queues: ['gates', 'default'] })
    for (const raw of raws) {
      // The same bytes but for the class and one more argument in front, the file that the job waits for.
      const held = raw
        .replace('OkJob', 'Gate')
        .replace('"args":[', `"args":[${JSON.stringify(worker.gate)},`)
        .replace(',]', ']')
      await redis.rpush(`${ns}:queue:gates`, held)
      const [id] = await worker.ids()
      const busy = await waitFor(() => redis.get(`${ns}:worker:${id}`))
      expect(busy).toContain(`"payload":${held}}`)
      expect(await familyViolations(redis, ns)).toEqual(
        expect.not.arrayContaining([expect.stringContaining('worker:')]),
      )
      worker.open()
      await waitForRest(redis, ns, ['gates'])
      worker.shut()
    }
    await redis.rpush(`${ns}:queue:default`, ...failing)
    await waitForRest(redis, ns)
    const entries = await redis.lrange(`${ns}:failed`, 0, -1)
    expect(entries.map(payloadText)).toEqual(failing)
  })
}

test('what php, ruby, node and redisQueue enqueue is worked as their own workers work it', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const matrix = goldenText('07-matrix.txt').split('-- worked by ')
  const lines = (worker: string): string[] =>
    (matrix.find((text) => text.startsWith(worker)) ?? '').split('\n').filter((line) => line.startsWith('OkJob '))
  const from = ['php', 'ruby', 'node', 'redisQueue']
  for (const [i, [producer]] of PRODUCERS.entries()) {
    const raw = elements(part(producer), 'queue:default')[0] as string
    await redis.rpush(
      `${ns}:queue:default`,
      raw.replace(/"args":\[.*?\}(,2|,\[\])?\]/, `"args":[{"from":"${from[i]}"}]`),
    )
  }
  await redis.sadd(`${ns}:queues`, 'default')
  const worker = await startWireWorker(redisUrl, ns)
  const seen = await worker.sees(4)
  await waitForRest(redis, ns)
  expect(lines('node')).toHaveLength(4)
  expect(seen.map((one) => `${one.class} ${JSON.stringify(one.args)}`)).toEqual(lines('node'))
  expect(seen.map((one) => `${one.class} args=${JSON.stringify(one.args[0])}`)).toEqual(lines('php'))
  expect(seen.map((one) => `${one.class} ${JSON.stringify(one.args).replaceAll(':', '=>')}`)).toEqual(lines('ruby'))
  expect([await redis.llen(`${ns}:queue:default`), await redis.llen(`${ns}:failed`)]).toEqual([0, 0])
})

const phpFailures = elements(readGolden('02-php-working-failed.txt')['php-resque worker, mid-job'], 'failed')
const rubyFailures = elements(readGolden('03-ruby-working-failed.txt')['Ruby resque 3.0.0 worker, mid-job'], 'failed')
const parse = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>
const shape = (value: Record<string, unknown>): string[] =>
  Object.entries(value).map(([name, field]) => `${name}: ${Array.isArray(field) ? 'array' : typeof field}`)

test('our failures have the fields, the order, the types and the texts of the family', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const queue = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns, { engine: { isolation: 'spawn' } })
  for (const golden of phpFailures) {
    const { payload } = parse(golden) as { payload: { class: string; args: [object] } }
    await queue.enqueue('default', payload.class, payload.args[0], { track: true })
  }
  await waitFor(async () => (await redis.llen(`${ns}:failed`)) === phpFailures.length)
  await queue.close()
  const [id] = await worker.ids()
  const ours = await redis.lrange(`${ns}:failed`, 0, -1)
  for (const [i, golden] of phpFailures.entries()) {
    const theirs = parse(golden)
    const mine = parse(ours[i] as string)
    expect(shape(mine).slice(0, 7)).toEqual(shape(theirs))
    expect(shape(mine).slice(0, 7)).toEqual(shape(parse(rubyFailures[0] as string)))
    expect(mine['failed_at']).toMatch(/^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d UTC$/)
    expect([mine['worker'], mine['queue']]).toEqual([id, 'default'])
    expect(mine['error']).toBe(theirs['error'])
    expect(Object.keys(mine['payload'] as object)).toEqual(Object.keys(theirs['payload'] as object))
    expect(JSON.stringify(mine)).toBe(ours[i])
  }
  expect(rubyFailures[0]).toMatch(/"failed_at":"\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d UTC"/)
  expect(ours.map((text) => parse(text)['exception'])).toEqual(['TypeError', 'DirtyExit', 'DirtyExit', 'Error'])
  expect(parse(ours[1] as string)).toMatchObject({ exit_code: 3 })
  expect(parse(ours[2] as string)).toMatchObject({ signal: 'SIGKILL' })
  expect(await familyViolations(redis, ns)).toEqual([])
})

test('our statuses have the fields, the order and the life of those of php-resque', async ({ redis, redisUrl, ns }) => {
  const golden = readGolden('02-php-working-failed.txt')['php-resque worker, mid-job'] ?? []
  const theirs = golden.filter(({ key }) => key.endsWith(':status')).map(({ value }) => parse(value as string))
  await using queue = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns)
  const key = (id: string | false): string => `${ns}:job:${id}:status`
  const read = async (id: string | false): Promise<Record<string, unknown>> =>
    parse((await redis.get(key(id))) ?? 'null')
  const ok = await queue.enqueue('default', 'OkJob', { a: 1 }, { track: true })
  const bad = await queue.enqueue('default', 'ThrowJob', {}, { track: true })
  const held = await queue.enqueue({ queue: 'default', class: 'Gate', args: [worker.gate], track: true })
  const waiting = await queue.enqueue('default', 'OkJob', {}, { track: true })
  await worker.sees(3)
  const all = [ok, bad, held, waiting]
  const found = []
  for (const id of all) found.push(await read(id))
  expect(found.map(({ status }) => status)).toEqual([4, 3, 2, 1])
  for (const one of found) expect(Object.keys(one)).toEqual(Object.keys(theirs[0] ?? {}))
  expect(shape(found[1] ?? {})).toEqual(shape(theirs.find(({ status }) => status === 3) ?? {}))
  expect(found[0]?.['result']).toEqual({ a: 1 })
  for (const id of [ok, bad]) expect(await redis.ttl(key(id))).toBeGreaterThan(86_390)
  for (const id of [held, waiting]) expect(await redis.ttl(key(id))).toBe(-1)
  expect(await familyViolations(redis, ns)).toEqual([])
})

test('statuses are kept up where php-resque was given a number for a prefix or an id', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const cases = [
    ['"id":"dda3834479c6f07ede2bdc85f92057b3","prefix":5', '5_dda3834479c6f07ede2bdc85f92057b3'],
    ['"id":"9086f72f6685a2a4c0fc92cc66758111","prefix":1.5', '1.5_9086f72f6685a2a4c0fc92cc66758111'],
    ['"id":"0959cd6ca345fa82e83e8359ba6f8f9e","prefix":0', '0959cd6ca345fa82e83e8359ba6f8f9e'],
    ['"id":4711,"prefix":""', '4711'],
  ] as const
  const put = async (queue: string, name: string): Promise<void> => {
    for (const [fields, status] of cases) {
      const args = JSON.stringify([worker.gate]).replaceAll('/', String.raw`\/`)
      await redis.rpush(
        `${ns}:queue:${queue}`,
        `{"class":"${name}","args":${args},${fields},"queue_time":1795982505.830142}`,
      )
      await redis.set(
        `${ns}:job:${status}:status`,
        '{"status":1,"updated":1795982505,"started":1795982505,"result":null}',
      )
    }
  }
  const codes = (): Promise<unknown[]> =>
    Promise.all(
      cases.map(async ([, status]) => parse((await redis.get(`${ns}:job:${status}:status`)) ?? 'null')['status']),
    )
  await using queue = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns, { concurrency: cases.length })
  await put('default', 'Gate')
  await worker.sees(cases.length)
  await waitFor(async () => (await codes()).every((code) => code === 2))
  worker.open()
  await waitForRest(redis, ns)
  expect(await codes()).toEqual([4, 4, 4, 4])
  // What a script finds out by itself: the status of a job that is removed while it waits expires.
  await put('kept', 'OkJob')
  expect(await queue.queues.dequeue('kept', ['OkJob'])).toBe(cases.length)
  for (const [, status] of cases) expect(await redis.ttl(`${ns}:job:${status}:status`)).toBeGreaterThan(86_390)
})

test('our registration and busy entry read as those of Ruby and php-resque, and go with the worker', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const ruby = readGolden('03-ruby-working-failed.txt')['Ruby resque 3.0.0 worker, mid-job']
  const theirs = parse(entry(ruby, /^worker:.*:default$/).value as string)
  await using queue = new ResQueue({ redis: redisUrl, namespace: ns })
  const worker = await startWireWorker(redisUrl, ns, { queues: ['default', 'low'], name: 'web-1' })
  const [id = ''] = await worker.ids()
  expect(id).toMatch(new RegExp(String.raw`^web-1\.[0-9a-f]+\.0:${process.pid}:default,low$`))
  expect(await redis.exists(`${ns}:worker:${id}`)).toBe(0)
  expect(await redis.get(`${ns}:worker:${id}:started`)).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  const beat = (await redis.hget(`${ns}:workers:heartbeat`, id)) ?? ''
  expect(Math.abs(Date.parse(beat) - Date.now())).toBeLessThan(15_000)
  await queue.enqueue({ queue: 'low', class: 'Gate', args: [worker.gate] })
  await worker.sees(1)
  const busy = parse((await redis.get(`${ns}:worker:${id}`)) ?? 'null')
  expect(Object.keys(busy).filter((field) => field in theirs)).toEqual(Object.keys(theirs))
  expect(busy).toMatchObject({ queue: 'low', worker: id.split(':').slice(0, 2).join(':'), payload: { class: 'Gate' } })
  expect(busy['run_at']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  expect(theirs['run_at']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  expect(await familyViolations(redis, ns)).toEqual([])
  await worker.stop()
  const left = await keysUnder(redis, `${ns}:`)
  expect(left.filter((key) => key.includes(id))).toEqual([])
  expect(await redis.scard(`${ns}:workers`)).toBe(0)
})

test('delayed jobs as php, ruby and node file them are moved, performed and cleared away', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const past = Math.floor(Date.now() / 1000) - 10
  const due = (text: string): string =>
    text.replaceAll('1795376418', String(past)).replaceAll('1795376419', String(past + 1))
  const entries = JSON.parse(due(JSON.stringify(readGolden('06-delayed.txt')['delayed: php, ruby, node']))) as Entry[]
  await load(redis, ns, entries)
  const raws = entries.filter(({ key }) => /^delayed:\d/.test(key)).flatMap(({ value }) => value as string[])
  expect(raws).toHaveLength(3)
  await redis.set(`${ns}:pause-all-workers`, 'true')
  const worker = await startWireWorker(redisUrl, ns)
  await waitFor(async () => (await redis.llen(`${ns}:queue:default`)) === 3)
  expect(await redis.lrange(`${ns}:queue:default`, 0, -1)).toEqual(raws)
  await redis.del(`${ns}:pause-all-workers`)
  expect((await worker.sees(3)).map(({ args }) => args)).toEqual([[{ p: '/x é' }], [{ p: '/x é' }], [{ p: '/x é' }]])
  await waitForRest(redis, ns)
  const left = Object.keys(await snapshot(redis, ns))
  expect(left.filter((key) => /^(delayed|timestamps)/.test(key))).toEqual([])
  expect(await familyViolations(redis, ns)).toEqual([])
})

test('our delayed jobs stand where and as those of ruby stand', async ({ redis, redisUrl, ns }) => {
  const golden = readGolden('06-delayed.txt')['delayed: php, ruby, node'] ?? []
  const [, ruby = ''] = elements(golden, 'delayed:1795376418')
  await using queue = new ResQueue({ redis: redisUrl, namespace: ns })
  const id = await queue.enqueueAt(1_795_376_418, 'default', 'OkJob', { p: '/x é' })
  const found = await snapshot(redis, ns)
  const [raw = ''] = (found['delayed:1795376418']?.value ?? []) as string[]
  expect(found['delayed_queue_schedule']?.value).toEqual({ 1795376418: '1795376418' })
  expect(found[`timestamps:${raw}`]?.value).toEqual(['delayed:1795376418'])
  const { id: ours, prefix: _, queue_time: __, ...rest } = parse(raw)
  expect(ours).toBe(id)
  expect(JSON.stringify(rest)).toBe(ruby)
  expect(await familyViolations(redis, ns)).toEqual([])
})

for (const [file, heading] of [
  ['02-php-working-failed.txt', 'php-resque worker, mid-job'],
  ['03-ruby-working-failed.txt', 'Ruby resque 3.0.0 worker, mid-job'],
  ['04-node-working-failed.txt', 'node-resque worker, mid-job'],
  ['05-redisqueue-working-failed.txt', 'redisQueue worker, mid-job'],
] as const) {
  test(`a worker of ours works beside the ${heading} and leaves what is theirs as it is`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    await load(redis, ns, readGolden(file)[heading] ?? [])
    const before = await snapshot(redis, ns)
    await redis.rpush(`${ns}:queue:default`, '{"class":"OkJob","args":[1]}')
    const worker = await startWireWorker(redisUrl, ns, { queues: ['*'] })
    await worker.sees(1)
    await waitForRest(redis, ns)
    await worker.stop()
    const after = await snapshot(redis, ns)
    const processed = Number(before['stat:processed']?.value ?? 0) + 1
    expect(after).toMatchObject({ ...before, 'stat:processed': { value: String(processed) } })
  })
}
