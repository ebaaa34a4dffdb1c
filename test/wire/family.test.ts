import { expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { familyViolations, violations } from './family.ts'
import { load, readGolden } from './golden.ts'

const FILES = [
  '01-enqueue.txt',
  '02-php-working-failed.txt',
  '03-ruby-working-failed.txt',
  '05-redisqueue-working-failed.txt',
  '06-delayed.txt',
]

for (const file of FILES) {
  test(`the rules of the family hold for what its programs wrote in ${file}`, async ({ redis, ns }) => {
    // A dump of one moment names no queue whose jobs are taken in the next.
    for (const entries of Object.values(readGolden(file))) {
      await load(redis, ns, entries)
      expect((await familyViolations(redis, ns)).filter((what) => !/JSON.stringify|not in queues/.test(what))).toEqual(
        [],
      )
    }
  })
}

const set = (...value: string[]) => ({ type: 'set', value, expires: false }) as const
const list = (...value: string[]) => ({ type: 'list', value, expires: false }) as const
const text = (value: string, expires = false) => ({ type: 'string', value, expires }) as const
const failure = (change: object): string =>
  JSON.stringify({
    failed_at: '2026/11/22 18:25:21 UTC',
    payload: { class: 'A', args: [] },
    exception: 'E',
    error: 'e',
    backtrace: [],
    worker: 'h:1:q',
    queue: 'q',
    ...change,
  })

test('what breaks a program of the family breaks a rule', () => {
  const broken: readonly (readonly [what: RegExp, keys: Parameters<typeof violations>[0]])[] = [
    [/two colons/, { workers: set('host:1') }],
    [/empty queue/, { workers: set('host:1:') }],
    [/skipped/, { workers: set('host:1:!a,!b') }],
    [/no pid/, { workers: set('host:x:a') }],
    [
      /ISO/,
      {
        workers: set('h:1:q'),
        'workers:heartbeat': { type: 'hash', value: { 'h:1:q': '1795371933' }, expires: false },
      },
    ],
    [
      /not registered/,
      { 'workers:heartbeat': { type: 'hash', value: { 'h:1:q': '2026-11-22T18:24:39Z' }, expires: false } },
    ],
    [/no JSON object/, { 'worker:h:1:q': text('x') }],
    [/no payload/, { 'worker:h:1:q': text('{"queue":"q","run_at":"2026-11-22T18:24:39Z"}') }],
    [/no payload/, { failed: list(failure({ payload: [] })) }],
    [/no payload/, { failed: list(failure({ payload: null })) }],
    [/failed_at/, { failed: list(failure({ failed_at: 1_795_371_933 })) }],
    [/failed_at/, { failed: list(failure({ failed_at: undefined })) }],
    [/no worker/, { failed: list(failure({ worker: undefined })) }],
    [/backtrace/, { failed: list(failure({ backtrace: null })) }],
    [/backtrace/, { failed: list(failure({ backtrace: 'here' })) }],
    [/JSON.stringify/, { failed: list(failure({ queue: 'a/b' }).replace('a/b', String.raw`a\/b`)) }],
    [/no JSON object/, { failed: list('') }],
    [/no JSON object/, { queues: set('q'), 'queue:q': list('broken') }],
    [/not in queues/, { 'queue:q': list('{"class":"A","args":[]}') }],
    [/no list/, { queues: set('q'), 'queue:q': list('{"class":"A","args":{"a":1}}') }],
    [
      /no queue/,
      {
        'delayed:5': list('{"class":"A","args":[]}'),
        delayed_queue_schedule: { type: 'zset', value: { 5: '5' }, expires: false },
      },
    ],
    [/not in the schedule/, { 'delayed:5': list('{"class":"A","args":[],"queue":"q"}') }],
    [/does not know/, { 'delayed:mine': text('x') }],
    [/does not know/, { mine: text('x') }],
    [/is a stream/, { 'ext:log': { type: 'stream', value: null, expires: false } }],
    [/from 1 to 4/, { 'job:a:status': text('{"status":7,"updated":1}') }],
    [/does not expire/, { 'job:a:status': text('{"status":4,"updated":1}') }],
    [/expires before/, { 'job:a:status': text('{"status":2,"updated":1}', true) }],
    [/integer/, { 'stat:processed': text('many') }],
  ]
  for (const [what, keys] of broken)
    expect({ keys, found: violations(keys) }).toEqual({ keys, found: [expect.stringMatching(what)] })
})
