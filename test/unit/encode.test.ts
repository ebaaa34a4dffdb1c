import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodePayload, newId } from '../../src/queue/encode.ts'

const draft = {
  class: 'SendEmail',
  args: [] as unknown[],
  id: 'a'.repeat(32),
  prefix: '',
  queueTime: 1795371757491,
  queue: undefined,
  extras: undefined,
}

test('bytes are exactly those of the contract', () => {
  const id = '4ef89c99c036da6022cf926be7ec3edd'
  expect(encodePayload({ ...draft, id, args: [{ to: 'é', path: '/x' }] })).toBe(
    `{"class":"SendEmail","args":[{"to":"é","path":"/x"}],"id":"${id}","prefix":"","queue_time":1795371757.491}`,
  )
  expect(encodePayload({ ...draft, id, args: [null], prefix: 'p"x', queueTime: 1795371757000 })).toBe(
    `{"class":"SendEmail","args":[null],"id":"${id}","prefix":"p\\"x","queue_time":1795371757}`,
  )
  expect(encodePayload({ ...draft, id: 'my "id"', queue: 'mail', extras: '{"timeout":3}' })).toBe(
    '{"class":"SendEmail","args":[],"id":"my \\"id\\"","prefix":"","queue_time":1795371757.491,"queue":"mail","x":{"timeout":3}}',
  )
  expect(encodePayload({ ...draft, class: 'App\\Jobs\\Send' })).toContain('{"class":"App\\\\Jobs\\\\Send",')
})

test('bytes are canonical JSON.stringify output for all that JSON can carry', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.string(), fc.string({ minLength: 1 }), (args, prefix, id) => {
      const raw = encodePayload({ ...draft, args, prefix, id })
      const value: unknown = JSON.parse(raw)
      expect(raw).toBe(JSON.stringify(value))
      expect(value).toEqual(
        JSON.parse(JSON.stringify({ class: 'SendEmail', args, id, prefix, queue_time: 1795371757.491 })),
      )
    }),
  )
})

class Itself {
  readonly n: number
  constructor(n: number) {
    this.n = n
  }
  toJSON(): this {
    return this
  }
}

const cycle: Record<string, unknown> = {}
cycle['a'] = { b: [cycle, cycle] }
let deep: unknown = 1
for (let i = 0; i < 1000; i++) deep = [deep]

test.each<[string, unknown]>([
  ['a function', { f: () => 1 }],
  ['a symbol', [Symbol('x')]],
  ['a BigInt', { n: 1n }],
  ['NaN', { n: NaN }],
  ['Infinity', [Infinity]],
  ['a cycle', cycle],
  ['undefined in a list', [1, undefined]],
  ['a hole in a list', Array.from({ length: 2 })],
  ['a Map', { m: new Map() }],
  ['a Promise', { data: Promise.resolve(1) }],
  ['a Set', new Set([1])],
  ['a lone surrogate', { s: '\ud800' }],
  ['a lone surrogate in a key', { '\udc00': 1 }],
  ['nesting beyond what Redis reads', deep],
  ['a toJSON that returns a function', { toJSON: () => () => 1 }],
  [
    'a toJSON that throws',
    {
      toJSON: () => {
        throw new Error('no')
      },
    },
  ],
  ['a toJSON that returns undefined in a list', [{ toJSON: () => undefined }]],
  ['a toJSON that returns itself with NaN', new Itself(NaN)],
  ['a toJSON that returns NaN', { at: { toJSON: () => NaN } }],
  ['an invalid Date', { at: new Date('never') }],
])('%s is refused', (_, value) => {
  expect(() => encodePayload({ ...draft, args: [value] })).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
  )
})

test('what JSON.stringify has a form for is taken', () => {
  const args = [
    {
      at: new Date(0),
      left: undefined,
      leftToo: { toJSON: () => undefined },
      named: { toJSON: (key: string) => (key === 'named' ? key : NaN) },
      list: [{ toJSON: (key: string) => (key === '0' ? key : NaN) }],
      itself: new Itself(1),
      o: Object.create(null) as object,
      pair: '😀',
      url: new URL('http://x/'),
      n: -0,
      s: '\\ud800',
    },
  ]
  expect(encodePayload({ ...draft, args })).toContain(`"args":${JSON.stringify(args)},`)
})

test('ids are 32 lowercase hex digits and differ', () => {
  const ids = new Set(Array.from({ length: 5000 }, newId))
  expect(ids.size).toBe(5000)
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/)
})
