import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { HEAD_BYTES } from '../../src/queue/demand.ts'
import { ACTIVE_JOB } from '../../src/queue/payload.ts'
import { createAges } from '../../src/telemetry/ages.ts'
import { headEnqueuedAt } from '../../src/telemetry/heads.ts'
import { workerChecks } from '../../src/telemetry/health.ts'
import type { WorkerView } from '../../src/telemetry/observer.ts'
import { createReader } from '../../src/telemetry/reader.ts'
import { latch } from '../support/wait.ts'

describe("the time in a head's last bytes", () => {
  const filler = 'x'.repeat(2000)
  const of = (payload: unknown): number | undefined => {
    const raw = typeof payload === 'string' ? payload : JSON.stringify(payload)
    return headEnqueuedAt(raw.length, raw.slice(-HEAD_BYTES))
  }
  const seconds = 1_795_371_757.25
  const activeJobEnd = {
    executions: 1,
    exception_executions: { '[StandardError]': 1 },
    locale: 'en',
    timezone: 'UTC',
    enqueued_at: '2026-11-22T18:22:37Z',
    scheduled_at: null,
  }

  test.for<[string, unknown, number | undefined]>([
    ['short, ours', { class: 'A', args: [], id: 'i', prefix: '', queue_time: seconds }, seconds * 1000],
    ['short, Ruby', { class: 'A', args: [1] }, undefined],
    [
      'short, ActiveJob',
      { class: ACTIVE_JOB, args: [{ job_class: 'A', enqueued_at: '2026-11-22T18:22:37Z' }] },
      1_795_371_757_000,
    ],
    ['short, malformed', '{"class":"A","queue_time":17', undefined],
    ['long, ours', { class: 'A', args: [filler], id: 'i', prefix: '', queue_time: seconds }, seconds * 1000],
    [
      'long, with extras behind',
      { class: 'A', args: [filler], queue_time: seconds, x: { retry: { attempts: 2 } } },
      seconds * 1000,
    ],
    ['long, timestamp in text', { class: 'A', args: [filler], timestamp: '2026-11-22T18:22:37Z' }, 1_795_371_757_000],
    ['long, spaces', `{"class": "A", "args": ["${filler}"], "enqueued_at": ${seconds}}`, seconds * 1000],
    [
      'long, ActiveJob',
      { class: ACTIVE_JOB, args: [{ job_class: 'A', arguments: [filler], ...activeJobEnd }] },
      1_795_371_757_000,
    ],
    [
      "short, a job's own field",
      { class: 'ImportOrders', args: [{ order: 7, enqueued_at: '2020-01-01T00:00:00Z' }] },
      undefined,
    ],
    [
      "long, a job's own field",
      { class: 'ImportOrders', args: [{ filler, enqueued_at: '2020-01-01T00:00:00Z' }] },
      undefined,
    ],
    ['long, no time', { class: 'A', args: [filler] }, undefined],
    [
      'long, a time deep inside the arguments',
      { class: 'A', args: [filler, { a: { n: 1, queue_time: seconds } }] },
      undefined,
    ],
    ['long, something like a time inside text', { class: 'A', args: [filler, `,"queue_time":${seconds}}`] }, undefined],
    ['long, the time before the arguments', { class: 'A', queue_time: seconds, args: [filler] }, undefined],
  ])('%s', ([, payload, expected]) => {
    expect(of(payload)).toBe(expected)
  })
})

describe('ages from counts', () => {
  /** Looks at one queue at the seconds given; returns the ages in seconds. */
  const watch = (...looks: [at: number, departed: number, length: number][]): number[] => {
    const ages = createAges()
    return looks.map(
      ([at, departed, length]) =>
        (ages(at * 1000, length === 0 ? [] : [{ queue: 'q', length, departed }]).get('q') ?? 0) / 1000,
    )
  }

  test('a head that nobody takes ages from the first look on', () => {
    expect(watch([0, 0, 3], [10, 0, 3], [20, 0, 5])).toEqual([0, 10, 20])
  })
  test('taking the jobs of one look makes the head as young as the next look', () => {
    expect(watch([0, 0, 3], [10, 0, 5], [20, 2, 3], [30, 3, 2], [40, 4, 1], [50, 5, 0])).toEqual([0, 10, 20, 20, 30, 0])
  })
  test('a steady queue does not seem to age, though its payloads are equal', () => {
    expect(
      watch(...Array.from({ length: 100 }, (_, i): [number, number, number] => [i * 10, i * 5, 5])).slice(1),
    ).toEqual(Array(99).fill(0))
  })
  test('a job that was put back is not counted twice', () => {
    expect(watch([0, 0, 2], [10, 1, 1], [20, 0, 2], [30, 2, 0])).toEqual([0, 10, 20, 0])
  })
  test('departures to foreign workers are inferred from the length', () => {
    expect(watch([0, 0, 10], [10, 0, 4], [20, 0, 12], [30, 0, 8], [40, 0, 7])).toEqual([0, 10, 20, 10, 20])
  })
  test('counters that begin again are no arrivals', () => {
    expect(watch([0, 1000, 3], [10, 0, 3], [20, 1, 2])).toEqual([0, 10, 20])
  })
  test('memory is bounded, and an estimate errs on the young side', () => {
    const looks = Array.from({ length: 1000 }, (_, i): [number, number, number] => [i, 0, i + 1])
    const late = watch(...looks, [1000, 500, 500]).at(-1) as number
    expect(late).toBeGreaterThan(300)
    expect(late).toBeLessThanOrEqual(500)
  })
})

describe('reading something slow', () => {
  const limits = { deadlineMs: 200, impatientMs: 20, freshMs: 1000 }

  test('askers share one read, and its answer for a while', async () => {
    let reads = 0
    const gate = latch<number>()
    const clock = { now: () => 0, monotonic: () => time }
    let time = 0
    const read = createReader(() => (++reads, gate.promise), clock, limits)
    const asked = [read(), read()]
    gate.open(5)
    expect(await Promise.all(asked)).toEqual([5, 5])
    time = 1000
    expect([await read(), reads]).toEqual([5, 1])
    time = 1001
    expect([await read(), reads]).toEqual([5, 2])
  })

  test('nobody waits past the deadline, shorter the next time, and a late answer is not lost', async () => {
    let reads = 0
    const gate = latch<string>()
    const read = createReader(() => (++reads, gate.promise), systemClock, { ...limits, freshMs: 10_000 })
    vi.useFakeTimers()
    onTestFinished(() => void vi.useRealTimers())
    const answers: unknown[] = []
    const ask = (): void => void read().then((answer) => answers.push(answer))
    ask()
    await vi.advanceTimersByTimeAsync(199)
    expect(answers).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(answers).toEqual([undefined])
    ask()
    await vi.advanceTimersByTimeAsync(19)
    expect(answers).toEqual([undefined])
    await vi.advanceTimersByTimeAsync(1)
    expect(answers).toEqual([undefined, undefined])
    gate.open('late')
    await vi.advanceTimersByTimeAsync(0)
    expect([await read(), reads]).toEqual(['late', 1])
  })

  test('why a read failed is told once until one succeeds', async () => {
    const told: unknown[] = []
    const answers = [
      () => Promise.reject(new Error('a')),
      () => Promise.reject(new Error('b')),
      () => Promise.resolve(1),
      () => Promise.reject(new Error('c')),
    ]
    const read = createReader<number>(() => (answers.shift() as () => Promise<number>)(), systemClock, {
      ...limits,
      freshMs: -1,
      onFailure: (error) => told.push(error),
    })
    expect([await read(), await read(), await read(), await read()]).toEqual([undefined, undefined, 1, undefined])
    expect(told).toEqual([new Error('a'), new Error('c')])
  })
})

test('a worker is live while its loop moves and ready from registration until it stops', () => {
  let view: WorkerView = {
    slots: 1,
    busy: 1,
    isolation: 'fork',
    loopAgeMs: 0,
    registered: false,
    paused: false,
    stopping: false,
    queues: [],
  }
  const { live, ready } = workerChecks(() => view)
  const problems = (): [boolean, boolean] => [
    live.some((check) => check.problem() !== undefined),
    ready.some((check) => check.problem() !== undefined),
  ]
  expect(problems()).toEqual([false, true])
  view = { ...view, registered: true, loopAgeMs: 59_999 }
  expect(problems()).toEqual([false, false])
  view = { ...view, trouble: 'a job process ended before it was ready' }
  expect(problems()).toEqual([false, true])
  view = { ...view, trouble: undefined }
  expect(problems()).toEqual([false, false])
  view = { ...view, stopping: true, loopAgeMs: 60_000 }
  expect(problems()).toEqual([true, true])
})
