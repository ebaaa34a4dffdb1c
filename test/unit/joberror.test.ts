import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { judge } from '../../src/worker/endings.ts'
import { jobError } from '../../src/worker/joberror.ts'
import { verdictOf } from '../../src/worker/verdict.ts'

const fails = (): never => {
  throw new Error('a trap')
}

test('whatever was thrown can be recorded', () => {
  const own = Object.assign(new RangeError('too far'), { stack: { toString: () => 'no text' } })
  expect(jobError(own)).toMatchObject({ type: 'RangeError', message: 'too far', backtrace: [] })
  const trapped = Object.defineProperty(new Error('x'), 'message', { get: fails })
  const proxy = new Proxy({}, { get: fails, getPrototypeOf: fails })
  expect(verdictOf(proxy)).toBe(undefined)
  for (const thrown of [trapped, proxy]) {
    expect(jobError(thrown)).toEqual({ type: 'Error', message: 'what was thrown cannot be read', backtrace: [] })
  }
  for (const [thrown, message] of [
    [null, 'null'],
    [undefined, 'undefined'],
    [Symbol('s'), 'Symbol(s)'],
    [{ a: 1 }, '{"a":1}'],
  ] as const) {
    expect(jobError(thrown)).toMatchObject({ type: 'Error', message })
  }
})

test('no part of an error is longer than its record should be', () => {
  const stack = `Error: x\n    at ${'f'.repeat(3e6)}\n`.repeat(2)
  const cause = Object.assign(new Error('m'.repeat(3e6)), { name: 'C'.repeat(3e6), stack })
  const error = Object.assign(new Error('m'.repeat(3e6), { cause }), { name: 'N'.repeat(3e6), stack })
  const frames = Array(2).fill(`at ${'f'.repeat(997)}`)
  expect(jobError(error)).toEqual({
    type: 'N'.repeat(200),
    message: 'm'.repeat(32_768),
    backtrace: [...frames, `caused by ${'C'.repeat(200)}: ${'m'.repeat(1000)}`, ...frames],
  })
})

test('errors of another realm are errors', () => {
  const thrown: unknown = runInNewContext('new TypeError("elsewhere", { cause: new RangeError("deep down") })')
  expect(jobError(thrown)).toMatchObject({
    type: 'TypeError',
    message: 'elsewhere',
    backtrace: expect.arrayContaining(['caused by RangeError: deep down']),
  })
})

test('an error that gathered others tells of them, where it has no message of its own even in its place', () => {
  const refused = [new Error('connect ECONNREFUSED ::1:1'), new Error('connect ECONNREFUSED 127.0.0.1:1')]
  const told = refused.map(({ message }) => `caused by Error: ${message}`)
  expect(jobError(new AggregateError(refused))).toMatchObject({
    type: 'AggregateError',
    message: 'connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1',
    backtrace: expect.arrayContaining(told),
  })
  expect(jobError(new TypeError('fetch failed', { cause: new AggregateError(refused) }))).toMatchObject({
    message: 'fetch failed',
    backtrace: expect.arrayContaining([
      'caused by AggregateError: connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1',
      ...told,
    ]),
  })
})

test.each([
  [1e300, 3_155_760_000_000],
  [-5, 0],
  [1500, 1500],
  [NaN, undefined],
  [Infinity, undefined],
  ['soon', undefined],
])('a wish to be retried after %s ms is bounded', (afterMs, delayMs) => {
  const error = jobError(Object.assign(new Error('again'), { resqueueVerdict: { kind: 'retry', afterMs } }))
  const job = { id: 'a', queue: 'q', class: 'A', payload: '{"class":"A"}', attempt: 1 }
  const judgement = judge(job, { kind: 'failed', error }, undefined, undefined, 'w', 0)
  expect(judgement).toMatchObject(
    delayMs === undefined ? { kind: 'fail' } : { kind: 'end', ending: { verb: 'retry', delayMs } },
  )
})
