import { expect, test } from 'vitest'
import { encodeExtras, extrasOf } from '../../src/queue/extras.ts'
import type { RetryOption } from '../../src/retry.ts'
import { ACTIVE_JOB, enqueuedAt, parsePayload, type Payload } from '../../src/queue/payload.ts'
import { elements, readGolden } from '../wire/golden.ts'

function payload(raw: string): Payload {
  const parsed = parsePayload(raw)
  if (!parsed.ok) throw new Error(parsed.reason)
  return parsed.payload
}

test('payloads of every producer of the family are read', () => {
  const dump = readGolden('01-enqueue.txt')
  const read = Object.values(dump).flatMap((part) => elements(part, 'queue:default').map(payload))
  const first = { a: 1, path: '/app/x', s: 'é' }
  expect(read.map(({ class: name, args }) => [name, args])).toEqual([
    ['OkJob', [first]],
    ['OkJob', [null]],
    ['OkJob', [first, 2]],
    ['OkJob', []],
    ['OkJob', [first, []]],
    ['OkJob', [first]],
  ])
  expect(read.map(({ id, prefix }) => [id, prefix])).toEqual([
    ['f0367d1533dd642ba24e086424e07a69', ''],
    ['b5abb91d0a78a71b1f1b87222a9a86b9', 'pfx'],
    ['', ''],
    ['', ''],
    ['', ''],
    ['a7cc4c447b701269eda93bff2f7c8fb0', ''],
  ])
})

test.each([
  ['{"class":"A"}', []],
  ['{"class":"A","args":null}', []],
  ['{"class":"A","args":[]}', []],
  ['{"class":"A","args":{"a":1}}', [{ a: 1 }]],
  ['{"class":"A","args":"text"}', ['text']],
  ['{"class":"A","args":0}', [0]],
  ['{"class":"A","args":[[]]}', [[]]],
])('args of %s', (raw, args) => {
  expect(payload(raw).args).toEqual(args)
})

test.each([
  ['', /not JSON/],
  ['{"class":"A"', /not JSON/],
  ['NaN', /not JSON/],
  ['null', /not a JSON object/],
  ['[]', /not a JSON object/],
  ['"A"', /not a JSON object/],
  ['{}', /no "class"/],
  ['{"class":null,"args":[]}', /no "class"/],
  ['{"class":1}', /no "class"/],
])('%s is no job, and the reason is said', (raw, reason) => {
  const parsed = parsePayload(raw)
  expect(parsed).toEqual({ ok: false, reason: expect.stringMatching(reason) as string })
})

test.each(['geheim', '{"class":"A","args":["geheim",NaN]}', `{"class":"A","args":['geheim']}`, '{"geheim"}'])(
  'the reason why %s is no job shows nothing of it, because it is logged',
  (raw) => {
    expect(parsePayload(raw)).toEqual({ ok: false, reason: expect.not.stringContaining('ehei') })
  },
)

test.each([
  ['{"class":"A","queue_time":1795371757.491}', 1795371757491],
  ['{"class":"A","timestamp":1795371757}', 1795371757000],
  ['{"class":"A","enqueued_at":1795371757491}', 1795371757491],
  ['{"class":"A","enqueued_at":"2026-11-22T18:22:37Z"}', Date.parse('2026-11-22T18:22:37Z')],
  ['{"class":"A","enqueued_at":"1795371757.5"}', 1795371757500],
  [
    `{"class":"${ACTIVE_JOB}","args":[{"job_class":"M","enqueued_at":"2026-11-22T18:22:37Z"}]}`,
    Date.parse('2026-11-22T18:22:37Z'),
  ],
  ['{"class":"ImportOrders","args":[{"order":7,"enqueued_at":"2020-01-01T00:00:00Z"}]}', undefined],
  ['{"class":"A"}', undefined],
  ['{"class":"A","queue_time":"soon"}', undefined],
  ['{"class":"A","queue_time":-1}', undefined],
])('when %s was enqueued', (raw, ms) => {
  expect(enqueuedAt(payload(raw))).toBe(ms)
})

test('a time of enqueueing without a zone is UTC, wherever the worker runs', () => {
  const before = process.env['TZ']
  process.env['TZ'] = 'America/New_York'
  try {
    for (const time of ['2026-11-22 18:25:21', '2026-11-22T18:25:21'])
      expect(enqueuedAt(payload(`{"class":"A","enqueued_at":"${time}"}`))).toBe(Date.UTC(2026, 10, 22, 18, 25, 21))
  } finally {
    if (before === undefined) delete process.env['TZ']
    else process.env['TZ'] = before
  }
})

test.each<[RetryOption, unknown]>([
  [5, { attempts: 5, backoff: 'exponential', delaysMs: [5000], jitter: 0.2 }],
  [1, { attempts: 1, backoff: 'exponential', delaysMs: [5000], jitter: 0.2 }],
  [
    { attempts: 3, backoff: 'fixed', delay: 0.5, maxDelay: 10, jitter: 0 },
    { attempts: 3, backoff: 'fixed', delaysMs: [500], maxDelayMs: 10_000, jitter: 0 },
  ],
  [
    { attempts: 4, delays: [1, 5, 60] },
    { attempts: 4, backoff: 'list', delaysMs: [1000, 5000, 60_000], jitter: 0.2 },
  ],
])('retry %j comes through a payload', (option, policy) => {
  const x = encodeExtras(option, undefined)
  expect(extrasOf(payload(`{"class":"A","x":${x}}`))).toEqual({ retry: policy })
})

test('a timeout comes through a payload, in seconds on the wire', () => {
  expect(encodeExtras(undefined, 1.5)).toBe('{"timeout":1.5}')
  expect(extrasOf(payload('{"class":"A","x":{"timeout":1.5}}'))).toEqual({ timeoutMs: 1500 })
  expect(encodeExtras(undefined, undefined)).toBeUndefined()
})

test.each([
  0,
  -1,
  1.5,
  NaN,
  { attempts: 0 },
  { attempts: 2, backoff: 'list' },
  { attempts: 2, backoff: 'never' },
  { attempts: 2, delay: -1 },
  { attempts: 2, jitter: 2 },
  { attempts: 2, delay: 1e18 },
  { attempts: 2, max: 60 },
])('retry %j is refused', (option) => {
  expect(() => encodeExtras(option as RetryOption, undefined)).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
  )
})

test.each([0, -1, NaN, Infinity, 1e18])('timeout %s is refused', (timeout) => {
  expect(() => encodeExtras(undefined, timeout)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
})

test.each([
  '1',
  'null',
  '[]',
  '{}',
  '{"retry":5}',
  '{"retry":{"attempts":"5"}}',
  '{"retry":{"attempts":0}}',
  '{"timeout":"1"}',
  '{"timeout":0}',
])('an x of %s from elsewhere is ignored', (x) => {
  expect(extrasOf(payload(`{"class":"A","x":${x}}`))).toEqual({})
})
