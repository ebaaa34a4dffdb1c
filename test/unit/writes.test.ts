import { expect, test } from 'vitest'
import { createWrites, type Writes } from '../../src/controller/writes.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

interface Run {
  /** When we wrote, and when nothing was written because of the contest; milliseconds. */
  readonly wrote: readonly number[]
  readonly held: readonly number[]
}

/** We want 5 and look every two seconds; somebody writes 3 at these times. */
function run(rival: readonly number[], untilMs: number): Run {
  const writes: Writes = createWrites()
  const wrote: number[] = []
  const held: number[] = []
  const pending = [...rival]
  let replicas = 3
  for (let now = 0; now < untilMs; now += 2 * SECOND) {
    while (pending[0] !== undefined && pending[0] <= now) {
      pending.shift()
      replicas = 3
    }
    writes.read(replicas, now)
    if (replicas === 5) continue
    if (writes.contested(now)) {
      held.push(now)
      continue
    }
    replicas = 5
    writes.wrote(5, now)
    wrote.push(now)
  }
  return { wrote, held }
}

const every = (ms: number, untilMs: number): number[] => Array.from({ length: untilMs / ms }, (_, i) => (i + 1) * ms)

test('a deploy tool that resyncs every three minutes is left alone after three writes, for the rest of the hour', () => {
  const { wrote, held } = run(every(3 * MINUTE, HOUR), HOUR)
  expect(wrote).toEqual([0, 3 * MINUTE, 6 * MINUTE])
  expect(held[0]).toBe(9 * MINUTE)
  expect(held).toHaveLength((HOUR - 9 * MINUTE) / (2 * SECOND))
})

test('in a day of such a contest no hour sees more than three writes', () => {
  const { wrote } = run(every(3 * MINUTE, 24 * HOUR), 24 * HOUR)
  expect(wrote.length).toBeGreaterThan(24)
  for (const at of wrote) expect(wrote.filter((one) => one >= at && one < at + HOUR).length).toBeLessThanOrEqual(3)
})

test('one that fights every second gets three writes as well', () => {
  expect(run(every(SECOND, HOUR), HOUR).wrote).toHaveLength(3)
})

test('people who scale by hand now and then are corrected each time', () => {
  expect(run([10 * MINUTE], HOUR)).toEqual({ wrote: [0, 10 * MINUTE], held: [] })
  const now = every(31 * MINUTE, 12 * HOUR)
  expect(run(now, 12 * HOUR)).toEqual({ wrote: [0, ...now], held: [] })
})

test('three of the last five count, whether or not they follow each other', () => {
  const of = (...undone: boolean[]): boolean => {
    const writes = createWrites()
    for (const [i, isUndone] of undone.entries()) {
      writes.wrote(5, i * SECOND)
      // However often it is read.
      for (const _ of [1, 2, 3]) writes.read(isUndone ? 3 : 5, i * SECOND)
    }
    return writes.contested(10 * SECOND)
  }
  expect(of(true, true)).toBe(false)
  expect(of(true, true, true)).toBe(true)
  expect(of(true, false, true, false, true)).toBe(true)
  expect(of(true, false, true, false, false)).toBe(false)
  expect(of(true, true, true, false, false)).toBe(true)
  expect(of(true, true, true, false, false, false)).toBe(false)
})

test('what is read before anything was written undoes nothing, and a new spec forgets', () => {
  const writes = createWrites()
  writes.read(3, 0)
  for (const at of [1, 2, 3]) {
    writes.wrote(5, at)
    writes.read(3, at)
  }
  expect(writes.contested(4)).toBe(true)
  writes.forget()
  expect(writes.contested(5)).toBe(false)
})

test('a write whose answer was lost is ours where the scale says so, and nobody undid the one before', () => {
  const writes = createWrites()
  for (let round = 0; round < 5; round++) {
    writes.sending(round + 1)
    writes.read(round + 1, round)
  }
  expect(writes.contested(5)).toBe(false)
  for (let round = 0; round < 3; round++) {
    writes.sending(9)
    writes.read(1, 10 + round)
    writes.wrote(9, 10 + round)
    writes.read(1, 10 + round)
  }
  expect(writes.contested(20)).toBe(true)
})
