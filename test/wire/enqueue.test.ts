import { expect } from 'vitest'
import { DoNotCreate, ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { snapshot } from '../support/redis.ts'
import { familyViolations } from './family.ts'

test('an enqueue answers with a fresh id and appends one payload with exactly the bytes that are documented', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const ids = [
    await client.enqueue('mail', 'App\\SendEmail', { to: 'é/x' }),
    await client.enqueue('mail', 'Mail::Send', null),
    await client.enqueue('mail', 'Plain'),
    await client.enqueue('mail', 'List', [1, 'two']),
    await client.enqueue({ queue: 'mail', class: 'Positional', args: [1, [], {}] }),
  ]
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/)
  expect(new Set(ids).size).toBe(ids.length)
  const raws = await redis.lrange(`${ns}:queue:mail`, 0, -1)
  const times = raws.map((raw) => (JSON.parse(raw) as { queue_time: number }).queue_time)
  for (const time of times) expect(Math.abs(time - Date.now() / 1000)).toBeLessThan(60)
  const rest = (i: number): string => `,"id":"${String(ids[i])}","prefix":"","queue_time":${times[i]}}`
  expect(raws).toEqual([
    `{"class":"App\\\\SendEmail","args":[{"to":"é/x"}]${rest(0)}`,
    `{"class":"Mail::Send","args":[null]${rest(1)}`,
    `{"class":"Plain","args":[]${rest(2)}`,
    `{"class":"List","args":[[1,"two"]]${rest(3)}`,
    `{"class":"Positional","args":[1,[],{}]${rest(4)}`,
  ])
  expect(await redis.smembers(`${ns}:queues`)).toEqual(['mail'])
  expect(Object.keys(await snapshot(redis, ns)).filter((key) => key.startsWith('job:'))).toEqual([])
  expect(await familyViolations(redis, ns)).toEqual([])
})

test('a tracked enqueue leaves a waiting status without an end, under its prefix where it has one', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const plain = await client.enqueue('mail', 'A', {}, true)
  const prefixed = await client.enqueue('mail', 'A', {}, { track: true, prefix: 'pfx' })
  for (const key of [`${ns}:job:${plain}:status`, `${ns}:job:pfx_${prefixed}:status`]) {
    const { updated, ...rest } = JSON.parse((await redis.get(key)) ?? 'null') as { updated: number }
    expect(rest).toEqual({ status: 1, started: updated, result: null })
    expect(await redis.ttl(key)).toBe(-1)
  }
  const [, second] = await redis.lrange(`${ns}:queue:mail`, 0, -1)
  expect(second).toContain('"prefix":"pfx"')
  expect(await client.status(prefixed as string, 'pfx').status()).toBe(1)
})

const cycle: Record<string, unknown> = {}
cycle['self'] = cycle
const REFUSED: readonly (readonly [what: string, args: unknown])[] = [
  ['a string', 'text'],
  ['a number', 5],
  ['a boolean', true],
  ['a function inside', { f: () => 1 }],
  ['a BigInt inside', { n: 1n }],
  ['a cycle', cycle],
  ['infinity', { n: Infinity }],
  ['undefined in a list', [undefined]],
  ['a Map inside', { m: new Map([[1, 2]]) }],
  ['text that is not Unicode', { s: '\ud800' }],
]

for (const [what, args] of REFUSED) {
  test(`arguments that cannot be carried are refused and nothing is written: ${what}`, async ({
    redis,
    redisUrl,
    ns,
  }) => {
    await using client = new ResQueue({ redis: redisUrl, namespace: ns })
    await expect(client.enqueue('mail', 'A', args as object, { track: true })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
    expect(await snapshot(redis, ns)).toEqual({})
  })
}

test('a queue or a class that is missing is refused with the words of php-resque', async ({ redis, redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  await expect(client.enqueue('', 'A')).rejects.toThrow('Jobs must be put in a queue.')
  await expect(client.enqueue('mail', '')).rejects.toThrow('Jobs must be given a class.')
  await expect(client.enqueueAt(1_795_376_418.5, 'mail', 'A')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  await expect(client.enqueueAt(new Date('never'), 'mail', 'A')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  expect(await snapshot(redis, ns)).toEqual({})
})

test('listeners of an enqueue are told in order, with the arguments as they were given, before and after the push', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const told: unknown[] = []
  const size = (): Promise<number> => redis.llen(`${ns}:queue:mail`)
  client.events.listen('beforeEnqueue', async (...args) => void told.push(['first', await size(), ...args]))
  client.events.listen('beforeEnqueue', (...args) => void told.push(['second', ...args]))
  client.events.listen('afterEnqueue', async (...args) => void told.push(['after', await size(), ...args]))
  const id = await client.enqueue('mail', 'A', { a: 1 })
  expect(told).toEqual([
    ['first', 0, 'A', { a: 1 }, 'mail', id],
    ['second', 'A', { a: 1 }, 'mail', id],
    ['after', 1, 'A', { a: 1 }, 'mail', id],
  ])
})

test('a listener can veto an enqueue, and what else it throws reaches the caller; nothing is written', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const veto = client.events.listen('beforeEnqueue', () => {
    throw new DoNotCreate()
  })
  expect(await client.enqueue('mail', 'A', {}, { track: true })).toBe(false)
  veto()
  client.events.listen('beforeEnqueue', () => {
    throw new RangeError('no')
  })
  await expect(client.enqueue('mail', 'A')).rejects.toThrow(RangeError)
  expect(await snapshot(redis, ns)).toEqual({})
  client.events.clearListeners('beforeEnqueue')
  expect(await client.enqueue('mail', 'A')).toMatch(/^[0-9a-f]{32}$/)
})

test('several listeners can be taken away one by one or all at once, and what is no function is passed over', async ({
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const told: string[] = []
  const one = (): void => void told.push('one')
  const two = (): void => void told.push('two')
  client.events.listen('afterEnqueue', one)
  client.events.listen('afterEnqueue', 'not callable' as never)
  client.events.listen('afterEnqueue', two)
  await client.enqueue('mail', 'A')
  client.events.stopListening('afterEnqueue', one)
  await client.enqueue('mail', 'A')
  client.events.clearListeners()
  await client.enqueue('mail', 'A')
  expect(told).toEqual(['one', 'two', 'two'])
})

test('a delayed job is filed under its second, with an id, and afterSchedule is told', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const told: unknown[] = []
  client.events.listen('afterSchedule', (...args) => void told.push(args))
  client.events.listen('afterEnqueue', (...args) => void told.push(['afterEnqueue', ...args]))
  const at = 1_795_376_418
  const id = await client.enqueueAt(at, 'mail', 'A', { a: 1 })
  const later = await client.enqueueAt(new Date((at + 1) * 1000), 'mail', 'A', { a: 2 })
  const before = Math.floor(Date.now() / 1000)
  const soon = await client.enqueueIn(100, 'mail', 'A', { a: 3 })
  const [second] = (await redis.zrange(`${ns}:delayed_queue_schedule`, '-1', '-1')).map(Number)
  expect(second).toBeGreaterThanOrEqual(before + 100)
  expect(second).toBeLessThanOrEqual(before + 160)
  expect(told).toEqual([
    [at, 'mail', 'A', { a: 1 }, id],
    [at + 1, 'mail', 'A', { a: 2 }, later],
    [second, 'mail', 'A', { a: 3 }, soon],
  ])
  expect(await redis.llen(`${ns}:queue:mail`)).toBe(0)
  expect([await client.delayed.scheduleSize(), await client.delayed.timestampSize(at)]).toEqual([3, 1])
  expect(await client.delayed.remove({ id: soon as string })).toBe(1)
  expect(await client.delayed.remove({ class: 'A', args: [{ a: 2 }] })).toBe(1)
  expect(await client.delayed.scheduleSize()).toBe(1)
  expect(await familyViolations(redis, ns)).toEqual([])
})
