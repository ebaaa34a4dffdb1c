import { expect, test } from 'vitest'
import type { Outcome } from '../../src/worker/outcome.ts'
import { createStopWord, type StopWord } from '../../src/worker/stopword.ts'

const SIGNALLED: Outcome = { kind: 'signalled', signal: 'SIGTERM' }
const done = (at: number): Outcome => ({ kind: 'succeeded', result: 'null', heard: { signal: 'SIGTERM', at } })

/** A stop word that is heard at some time of a clock that only moves when told to. */
function wordAt(start: number): { word: StopWord; at(time: number): void } {
  let time = start
  const word = createStopWord({ now: () => time, monotonic: () => time })
  return { word, at: (to) => void (time = to) }
}

test.for<[name: string, outcome: Outcome, ends: number, told: number, kind: string]>([
  ['the worker was told before the job', done(900), 1200, 500, 'returned'],
  ['the job was told less than a second before the worker', done(0), 5000, 999, 'returned'],
  ['the job left by itself when both were told', { ...done(900), kind: 'exited', code: 0 }, 1000, 950, 'returned'],
  ['the job was told long before the worker, and lived on', done(0), 60_000, 59_000, 'succeeded'],
])('%s', async ([, outcome, ends, told, kind]) => {
  const { word, at } = wordAt(told)
  word.hear()
  at(ends)
  expect(await word.weigh(outcome)).toMatchObject({ kind })
})

test('a death that is seen before the worker is told waits for it; others wait for nothing', async () => {
  const { word, at } = wordAt(0)
  expect(word.weigh({ kind: 'signalled', signal: 'SIGSEGV' })).toMatchObject({ kind: 'signalled' })
  const weighed = word.weigh(SIGNALLED)
  expect(weighed).toBeInstanceOf(Promise)
  at(500)
  word.hear()
  expect(await weighed).toMatchObject({ kind: 'returned', counted: false })
})

test('what a job was told more than a second ago, and the worker never, stands at once', () => {
  expect(wordAt(1000).word.weigh(done(0))).toEqual(done(0))
})
