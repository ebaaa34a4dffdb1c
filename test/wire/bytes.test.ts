import fc from 'fast-check'
import { expect } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { snapshot } from '../support/redis.ts'
import { chanceOfTest } from '../support/seed.ts'
import { waitFor } from '../support/wait.ts'
import { familyViolations, payloadText } from './family.ts'
import { ROOT } from '../support/process.ts'
import { startWireWorker, waitForRest } from './worker.ts'

/**
 * JSON as some program might write it: other escapes, other spaces, numbers that no double holds, the same key twice.
 */
const SPACE = fc.constantFrom('', '', '', ' ', '\n\t')
const NUMBER = fc.oneof(
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => JSON.stringify(n)),
  fc.constantFrom(
    '1.10',
    '-0',
    '0.0',
    '1E5',
    '1e-7',
    '12345678901234567890',
    '1e400',
    '-9223372036854775808',
    '0.1000000000000000055511151231257827',
  ),
)
const TEXT = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }).map((text) => JSON.stringify(text)),
  fc.constantFrom(
    String.raw`"\/x \u00e9"`,
    String.raw`"\ud83d\ude00"`,
    String.raw`"\ud800"`,
    '"é/ü"',
    '"\u2028"',
    String.raw`"\u0000\b\""`,
    '"{\\"id\\":\\"x\\"}"',
    '"\x7f"',
  ),
)
const VALUE = fc.letrec<{ value: string; list: string; object: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    NUMBER,
    TEXT,
    fc.constantFrom('true', 'false', 'null', '[]', '{}'),
    tie('list'),
    tie('object'),
  ),
  list: fc
    .tuple(SPACE, fc.array(tie('value'), { maxLength: 3 }))
    .map(([space, items]) => `[${space}${items.join(`,${space}`)}]`),
  object: fc
    .tuple(SPACE, fc.array(fc.tuple(TEXT, tie('value')), { maxLength: 3 }))
    .map(([space, fields]) => `{${fields.map(([name, value]) => `${name}:${space}${value}`).join(',')}${space}}`),
})).value
const FIELD = fc.tuple(
  fc.oneof(
    fc.constantFrom('"id"', '"prefix"', '"queue"', '"queue_time"', '"extra"', '"x"'),
    TEXT.filter((name) => name !== '"class"' && name !== '"args"'),
  ),
  VALUE,
)

const payloads = (name: string): fc.Arbitrary<string> =>
  fc
    .tuple(
      SPACE,
      fc.array(VALUE, { maxLength: 4 }),
      fc.array(FIELD, { maxLength: 3 }),
      fc.array(FIELD, { maxLength: 3 }),
    )
    .map(([space, args, before, after]) => {
      const fields = [...before, ['"class"', `"${name}"`], ['"args"', `[${args.join(`,${space}`)}]`], ...after]
      return `${space}{${fields.map(([key, value]) => `${key}${space}:${space}${value}`).join(',')}${space}}${space}`
    })

const sample = (name: string): string[] =>
  fc.sample(payloads(name), { numRuns: 150, seed: chanceOfTest().between(0, 2 ** 31 - 1) })

test('any JSON that names a job keeps its bytes through a failure, its retry and the put-back at a worker’s end', async ({
  redis,
  redisUrl,
  ns,
}) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const raws = sample('ThrowJob').map((raw) => raw.trim())
  await redis.sadd(`${ns}:queues`, 'default')
  await redis.rpush(`${ns}:queue:default`, ...raws)
  const worker = await startWireWorker(redisUrl, ns)
  await waitFor(async () => (await redis.llen(`${ns}:failed`)) === raws.length, {
    describe: async () => snapshot(redis, ns),
  })
  await worker.stop()
  expect((await redis.lrange(`${ns}:failed`, 0, -1)).map(payloadText)).toEqual(raws)
  expect(await redis.llen(`${ns}:ext:quarantine`)).toBe(0)
  expect(await client.failed.retry({ all: true })).toEqual({ moved: raws.length, skipped: 0 })
  expect(await redis.lrange(`${ns}:queue:default`, 0, -1)).toEqual(raws)

  // Ten slots hold ten jobs when the worker is told to leave at once.
  const held = raws.slice(0, 10).map((raw) => raw.replace('"ThrowJob"', '"Idle"'))
  for (const [i, raw] of held.entries()) await redis.lset(`${ns}:queue:default`, i, raw)
  const leaving = await startWireWorker(redisUrl, ns, { concurrency: 10, shutdownTimeoutMs: 1, maxJobs: 10 })
  await leaving.sees(10)
  await leaving.stop()
  expect(await redis.lrange(`${ns}:queue:default`, 0, -1)).toEqual([...held, ...raws.slice(10)])
})

test('even the white space around a payload survives a failure and its retry', async ({ redis, redisUrl, ns }) => {
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const raws = [
    ' {"class":"ThrowJob","args":[]}',
    '{"class":"ThrowJob","args":[]}\n',
    '\t{"class":"ThrowJob","args":[]} ',
  ]
  await redis.rpush(`${ns}:queue:default`, ...raws)
  const worker = await startWireWorker(redisUrl, ns)
  await waitFor(async () => (await client.failed.count()) === raws.length)
  await worker.stop()
  expect((await redis.lrange(`${ns}:failed`, 0, -1)).map(payloadText)).toEqual(raws)
  expect(await client.failed.retry({ all: true })).toEqual({ moved: raws.length, skipped: 0 })
  expect(await redis.lrange(`${ns}:queue:default`, 0, -1)).toEqual(raws)
})

test('any JSON that names a job keeps its bytes while it runs, and is read by the job as JSON.parse reads it', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const raws = sample('OkJob')
  await redis.rpush(`${ns}:queue:default`, ...raws)
  const worker = await startWireWorker(redisUrl, ns, { hooks: `${ROOT}test/fixtures/wire/hooks.ts` })
  await waitForRest(redis, ns)
  const seen = worker.seen.filter(({ event }) => event === 'beforeFork').map(({ payload }) => payload ?? '')
  expect(seen).toEqual(raws)
  const jobs = worker.seen.filter(({ event }) => event === undefined)
  expect(jobs.map(({ args }) => args)).toEqual(raws.map((raw) => parsed((JSON.parse(raw) as { args: unknown[] }).args)))
  expect(await redis.llen(`${ns}:failed`)).toBe(0)
  expect((await familyViolations(redis, ns)).filter((what) => !what.includes('queues'))).toEqual([])
})

/** As it comes through the record of what jobs saw, which is JSON itself: there is no infinity in it. */
function parsed(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}
