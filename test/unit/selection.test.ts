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

test('a skip may be a glob with a negation', () => {
  expect(selectQueues(['mail*', '![!m]*', '!*[!_]x']).resolve(KNOWN)).toEqual(['mail_x'])
})
