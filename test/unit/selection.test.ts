import { expect, test } from 'vitest'
import { selectQueues } from '../../src/queue/selection.ts'

const KNOWN = ['a', 'ab', 'abc', 'A', 'a.b', 'a/b', 'mail_x', 'mail-x', '^a', '!x', 'a-b', '-', ']', 'größe', 'b']

/** What `File.fnmatch?` of Ruby 3.1 finds among them, which is how a Ruby worker reads its list. */
test.each<[string, readonly string[]]>([
  ['*', KNOWN],
  ['?', ['-', 'A', ']', 'a', 'b']],
  ['a*', ['a', 'a-b', 'a.b', 'a/b', 'ab', 'abc']],
  ['[ab]', ['a', 'b']],
  ['[!ab]', ['-', 'A', ']']],
  ['[^ab]', ['-', 'A', ']']],
  ['[a-c]*', ['a', 'a-b', 'a.b', 'a/b', 'ab', 'abc', 'b']],
  ['[!a-c]*', ['!x', '-', 'A', ']', '^a', 'größe', 'mail-x', 'mail_x']],
  ['mail[!_]x', ['mail-x']],
  ['gr??e', ['größe']],
  ['a/*', ['a/b']],
])('the pattern %s finds the queues that it finds in Ruby', (pattern, found) => {
  expect(selectQueues([pattern]).resolve(KNOWN)).toEqual(found.toSorted())
})

const ODD = ['?x', '*x', '.x', 'ax', ']x', '-x', '\\x', '^x', '!x', 'a]', 'a]b', 'm', 'z', 'a', '[x']

/** The same of names and patterns with signs that a glob means something by. */
test.each<[string, readonly string[]]>([
  ['[?]x', ['?x']],
  ['[*]x', ['*x']],
  ['[.]x', []],
  ['.?', ['.x']],
  ['\\.[x]', ['.x']],
  ['?x', ODD.filter((name) => name.endsWith('x') && name !== '.x')],
  ['a]*', ['a]', 'a]b']],
  ['\\*x', ['*x']],
  ['\\[?', ['[x']],
  ['[\\]]x', [']x']],
  ['[\\\\]x', ['\\x']],
  ['[a-]x', ['-x', 'ax']],
  ['[!a-]x', ['!x', '*x', '?x', '[x', '\\x', ']x', '^x']],
  ['[a^]x', ['^x', 'ax']],
  ['[z-a]', ['a', 'z']],
  ['[a-z]', ['a', 'm', 'z']],
  ['[]x*', []],
  ['[!]x', ODD.filter((name) => name.endsWith('x') && name !== '.x')],
])('the pattern %s finds the odd names that it finds in Ruby', (pattern, found) => {
  expect(selectQueues([pattern]).resolve(ODD)).toEqual(found.toSorted())
})

test('every queue is found by *, also one whose name begins with a dot; a bracket that is not closed is a name', () => {
  expect(selectQueues(['*']).resolve(ODD)).toEqual(ODD.toSorted())
  expect(selectQueues(['[x']).resolve(ODD)).toEqual(['[x'])
  expect(selectQueues(['*', '![x']).resolve(['a', '[x'])).toEqual(['a'])
})

test('a skip may be a glob with a negation', () => {
  expect(selectQueues(['mail*', '![!m]*', '!*[!_]x']).resolve(KNOWN)).toEqual(['mail_x'])
})

test('stars take no time to speak of, whatever a queue is called', () => {
  const from = performance.now()
  expect(selectQueues(['a*a*a*a*b', 'a*a*a*a*']).resolve(['a'.repeat(300)])).toEqual(['a'.repeat(300)])
  expect(performance.now() - from).toBeLessThan(5000)
})

test('what stands between stars is found in its order, and what it overlaps with is not counted twice', () => {
  const known = ['ab', 'aba', 'abab', 'ab-ab', 'ba-ab', 'ab-ba-ab', 'ab-x-ab']
  expect(selectQueues(['*ab*ab']).resolve(known)).toEqual(['ab-ab', 'ab-ba-ab', 'ab-x-ab', 'abab'])
  expect(selectQueues(['*ab*?a*b']).resolve(known)).toEqual(['ab-ab', 'ab-ba-ab', 'ab-x-ab'])
  expect(selectQueues(['ab**[!-]*ab']).resolve(known)).toEqual(['ab-ba-ab', 'ab-x-ab'])
})
