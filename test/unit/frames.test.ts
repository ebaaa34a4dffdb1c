import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readMessage } from '../../src/worker/message.ts'
import { FRAME, frame, frameReader } from '../../src/worker/frames.ts'

type Seen = [type: number, body: string]

const types = Object.values(FRAME).filter((type) => type !== FRAME.garbled)
const bytes = fc.uint8Array({ maxLength: 300 }).map((value) => Buffer.from(value))

/** What a reader takes from a stream that comes in pieces of these sizes. */
function read(stream: Buffer, sizes: readonly number[]): { seen: Seen[]; pending: boolean } {
  const seen: Seen[] = []
  const reader = frameReader((type, body) => seen.push([type, body.toString()]))
  for (let at = 0, i = 0; at < stream.length; i += 1) {
    const size = sizes[i % sizes.length] ?? 1
    reader.push(stream.subarray(at, at + size))
    at += size
  }
  return { seen, pending: reader.pending() }
}

const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 })

test('frames come out as they went in, however the stream is cut', () => {
  const frames = fc.array(fc.tuple(fc.constantFrom(...types), fc.string({ unit: 'binary', maxLength: 100 })))
  fc.assert(
    fc.property(frames, sizes, (sent, cuts) => {
      const stream = Buffer.concat(sent.map(([type, body]) => frame(type, body)))
      const { seen, pending } = read(stream, cuts)
      expect(seen).toEqual(sent.map(([type, body]) => [type, Buffer.from(body).toString()]))
      expect(pending).toBe(false)
    }),
  )
})

test('nonsense is told from the first frame that it spoils, whatever follows, and never throws', () => {
  const nonsense = fc.oneof(
    bytes.map((rest) => Buffer.concat([Buffer.alloc(5), rest])), // a length of nothing
    bytes.map((rest) => Buffer.concat([Buffer.from([9, 0, 0, 0, 1]), rest])), // a type that there is not
    fc.string({ minLength: 4 }).map((text) => Buffer.from(`text ${text}`)),
  )
  fc.assert(
    fc.property(nonsense, bytes, sizes, (spoilt, after, cuts) => {
      const { seen, pending } = read(Buffer.concat([frame(FRAME.begun), spoilt, after]), cuts)
      expect(seen[0]).toEqual([FRAME.begun, ''])
      expect(seen.length > 1 && seen.slice(1).every(([type]) => type === FRAME.garbled)).toBe(true)
      expect(pending).toBe(true)
    }),
  )
})

test('any bytes are read without an error, and any frame is understood or called garbled', () => {
  fc.assert(
    fc.property(bytes, sizes, (stream, cuts) => {
      for (const [type, body] of read(stream, cuts).seen) readMessage(type, Buffer.from(body))
    }),
  )
  const bodies = fc.oneof(
    bytes,
    fc.json().map((text) => Buffer.from(text)),
  )
  fc.assert(
    fc.property(fc.constantFrom(FRAME.failed, FRAME.log, FRAME.peak), bodies, (type, body) => {
      const expected = type === FRAME.failed ? 'report' : type === FRAME.log ? 'log' : 'peak'
      expect(['garbled', expected]).toContain(readMessage(type, body)?.kind)
    }),
  )
})

test('what a child writes is understood', () => {
  const kindOf = (type: number, body: string): unknown => readMessage(type, Buffer.from(body))
  const error = { type: 'E', message: 'm', backtrace: ['at x'], fatal: true, retryAfterMs: 5 }
  expect(kindOf(FRAME.failed, JSON.stringify(error))).toEqual({ kind: 'report', report: { kind: 'failed', error } })
  expect(kindOf(FRAME.peak, '12345')).toEqual({ kind: 'peak', bytes: 12_345 })
  expect(kindOf(FRAME.peak, '-1')).toMatchObject({ kind: 'garbled' })
  expect(kindOf(FRAME.log, '["warn","text",{"a":1}]')).toEqual({
    kind: 'log',
    level: 'warn',
    text: 'text',
    fields: { a: 1 },
  })
  expect(kindOf(FRAME.log, '["constructor","text",{}]')).toMatchObject({ kind: 'garbled' })
  expect(kindOf(FRAME.begun, '')).toBeUndefined()
})
