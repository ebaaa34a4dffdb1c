import { expect, test } from 'vitest'
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
