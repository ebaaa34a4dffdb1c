import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { createWorkQueue, type Turn, type WorkQueue } from '../../src/controller/workqueue.ts'
import { latch, never, waitFor } from '../support/wait.ts'

const stops: AbortController[] = []
const runs: Promise<void>[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) stop.abort()
  await Promise.all(runs.splice(0))
})

function start(work: (key: string) => Promise<Turn>, options: object = {}): WorkQueue {
  const queue = createWorkQueue({ work, jitter: 0, ...options })
  const stop = new AbortController()
  stops.push(stop)
  runs.push(queue.run(stop.signal))
  return queue
}

test('a key that is added often is worked once, and once more where it is added while it is worked', async () => {
  let turns = 0
  const gate = latch()
  const queue = start(async () => {
    turns++
    if (turns === 1) await gate.promise
    return { afterMs: 3_600_000 }
  })
  for (let i = 0; i < 10; i++) queue.add('a')
  await waitFor(() => turns === 1)
  for (let i = 0; i < 10; i++) queue.add('a')
  await never(100, () => turns > 1)
  gate.open()
  await waitFor(() => turns === 2)
  await never(100, () => turns > 2)
  expect(queue.size).toBe(1)
})

test('a key comes back after the time that it asked for', async () => {
  const times: number[] = []
  const queue = start(async () => {
    times.push(performance.now())
    return { afterMs: 100 }
  })
  queue.add('a')
  await waitFor(() => times.length === 4)
  const gaps = times.slice(1).map((at, i) => at - (times[i] as number))
  expect(Math.min(...gaps)).toBeGreaterThan(90)
})

test('failures wait longer each time, are not hurried, and one success ends that', async () => {
  const times: number[] = []
  let failing = true
  const queue = start(
    async () => {
      times.push(performance.now())
      if (failing) throw new Error('told to fail')
      return { afterMs: 3_600_000 }
    },
    { leastBackoffMs: 50 },
  )
  queue.add('a')
  await waitFor(() => {
    queue.add('a') // a storm of events changes nothing
    return times.length === 4
  })
  const gaps = times.slice(1).map((at, i) => at - (times[i] as number))
  expect(gaps[0]).toBeGreaterThan(45)
  expect(gaps[1]).toBeGreaterThan(95)
  expect(gaps[2]).toBeGreaterThan(190)
  failing = false
  await waitFor(() => times.length === 5)
  queue.add('a')
  await waitFor(() => times.length === 6, { timeoutMs: 10_000 })
})

test('a key that wants no other turn is forgotten until it is added, also while it is worked', async () => {
  let turns = 0
  const gate = latch()
  const queue = start(async () => {
    turns++
    if (turns === 2) await gate.promise
    return { afterMs: Infinity }
  })
  queue.add('a')
  await waitFor(() => turns === 1 && queue.size === 0)
  queue.add('a')
  await waitFor(() => turns === 2)
  queue.add('a')
  gate.open()
  await waitFor(() => turns === 3)
  await never(100, () => turns > 3)
  expect(queue.size).toBe(0)
})

test('no key is ever worked twice at a time, and none is forgotten', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 30 }), async (keys) => {
      const working = new Set<string>()
      const worked = new Set<string>()
      let overlaps = 0
      const queue = createWorkQueue({
        concurrency: 3,
        work: async (key) => {
          if (working.has(key)) overlaps++
          working.add(key)
          await new Promise((resolve) => setImmediate(resolve))
          working.delete(key)
          worked.add(key)
          return { afterMs: 3_600_000 }
        },
      })
      const stop = new AbortController()
      const run = queue.run(stop.signal)
      for (const key of keys) {
        queue.add(key)
        await new Promise((resolve) => setImmediate(resolve))
      }
      await waitFor(() => worked.size === new Set(keys).size, { everyMs: 1 })
      stop.abort()
      await run
      expect(overlaps).toBe(0)
    }),
    { numRuns: 30 },
  )
})
