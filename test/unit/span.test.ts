import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { fieldSpan } from '../../src/queue/span.ts'

function field(json: string | Buffer, name: string): string | undefined {
  const bytes = Buffer.from(json)
  const span = fieldSpan(bytes, name)
  return span && bytes.toString('latin1', span.start, span.end)
}

test.each([
  ['{"payload":{"a":[1,{"b":"}"}]},"x":1}', '{"a":[1,{"b":"}"}]}'],
  ['{"x":{"payload":1},"payload":2}', '2'],
  ['{"payload":1,"payload":2}', '2'],
  [' { "a" : "\\"payload\\":0" , "payload" : { "n" : 1.10 } } ', '{ "n" : 1.10 }'],
  ['{"payl\\u006fad":[]}', '[]'],
  ['{"payload":null}', 'null'],
  ['{"failed_at":"x","payload": \n{"a": 1}\t,"error":1}', ' \n{"a": 1}\t'],
  ['{"payload":-1.5e3}', '-1.5e3'],
  ['{"payload":"a\\\\"}', '"a\\\\"'],
  ['{"payload":{"big":12345678901234567890,"e":{},"l":[]}}', '{"big":12345678901234567890,"e":{},"l":[]}'],
])('the payload in %s', (json, expected) => {
  expect(field(json, 'payload')).toBe(expected)
})

test.each(['{}', '[]', '1', '{"a":1}', '{"a":{"payload":1}}', ''])('%s has no payload', (json) => {
  expect(field(json, 'payload')).toBeUndefined()
})

test('bytes that are not UTF-8 stay', () => {
  const raw = Buffer.from('{"class":"A","args":["\xff\xfe"]}', 'latin1')
  expect(field(Buffer.concat([Buffer.from('{"a":"é","payload":'), raw, Buffer.from('}')]), 'payload')).toBe(
    raw.toString('latin1'),
  )
})

test('any field of any object is found as it was written', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(undefined, 2), (value, indent) => {
      const json = Buffer.from(JSON.stringify(value, undefined, indent))
      for (const [name, inner] of Object.entries(value)) {
        const span = fieldSpan(json, name)
        expect(JSON.parse(json.toString('utf8', span?.start, span?.end))).toEqual(JSON.parse(JSON.stringify(inner)))
      }
    }),
  )
})
