import { expect, test } from 'vitest'
import { matcherOf, type Item } from '../../src/queue/match.ts'
import { parsePayload } from '../../src/queue/payload.ts'

function fits(items: readonly Item[], raw: string): boolean {
  const parsed = parsePayload(raw)
  return parsed.ok && matcherOf(items)(parsed.payload)
}

// R65, as php-resque does it.
test.each<[readonly Item[], string, boolean]>([
  [['A'], '{"class":"A","args":[]}', true],
  [['A'], '{"class":"B","args":[]}', false],
  [['A'], '{"class":"a","args":[]}', false],
  [['B', 'A'], '{"class":"A"}', true],
  [[{ A: 'id1' }], '{"class":"A","id":"id1"}', true],
  [[{ A: 'id1' }], '{"class":"A","id":"id2"}', false],
  [[{ A: 'id1' }], '{"class":"B","id":"id1"}', false],
  [[{ A: 'id1' }], '{"class":"A"}', false],
  [[{ A: { foo: 1, bar: 2 } }], '{"class":"A","args":[{"foo":1,"bar":2}]}', true],
  [[{ A: { foo: 1, bar: 2 } }], '{"class":"A","args":[{"foo":1}]}', true],
  [[{ A: { foo: 1, bar: 2 } }], '{"class":"A","args":[{"other":2}]}', true],
  [[{ A: { foo: 1, bar: 2 } }], '{"class":"A","args":[{"foo":1,"bar":3}]}', false],
  [[{ A: { foo: 1, bar: 2 } }], '{"class":"A","args":[{"foo":1,"bar":2,"baz":3}]}', false],
  [[{ A: { foo: 1 } }], '{"class":"A","args":[{}]}', false],
  [[{ A: { foo: 1 } }], '{"class":"A","args":[]}', false],
  [[{ A: { foo: 1 } }], '{"class":"A","args":[null]}', false],
  [[{ A: {} }], '{"class":"A","args":[{}]}', false],
  [[{ A: {} }], '{"class":"A","args":[{"foo":1}]}', false],
  [[{ A: [1, 'two'] }], '{"class":"A","args":[[1,"two"]]}', true],
  [[{ A: [1, 'two'] }], '{"class":"A","args":[["two"]]}', true],
  [[{ A: [1, 'two'] }], '{"class":"A","args":[1,"three"]}', true],
  [[{ A: { foo: '1' } }], '{"class":"A","args":[{"foo":1}]}', true],
  [[{ A: { foo: true } }], '{"class":"A","args":[{"foo":1}]}', true],
  [[{ A: { foo: '' } }], '{"class":"A","args":[{"foo":null}]}', true],
  [[{ A: { foo: [1] } }], '{"class":"A","args":[{"foo":[1]}]}', true],
  [[{ A: { foo: [1] } }], '{"class":"A","args":[{"foo":[2]}]}', false],
  [['C', { B: 'x' }, { A: { foo: 1 } }], '{"class":"A","args":[{"foo":1}]}', true],
  [[{ A: 'x', B: 'y' }], '{"class":"B","id":"y"}', true],
])('items %j fit %s: %s', (items, raw, expected) => {
  expect(fits(items, raw)).toBe(expected)
})

test.each([[null], [1], [[]]])('item %j is refused', (item) => {
  expect(() => matcherOf([item as unknown as Item])).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
})
