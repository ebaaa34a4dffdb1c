import { expect, test } from 'vitest'
import type { Observation } from '../../src/controller/decide.ts'
import { follow, last, observationOf, specOf, times } from '../support/scaler.ts'

// From zero or the minimum, and back.

test('from zero, one waiting job asks for a replica at once', () => {
  const { replicas, active } = last(follow([(n) => observationOf(n, { waiting: 1 })]))
  expect({ replicas, active }).toEqual({ replicas: 1, active: true })
})

test('a job that runs keeps a replica, whatever waits', () => {
  const busy = (n: number): Observation => observationOf(n, { running: 1, runningMs: 1000 })
  expect(last(follow(times(300, busy), { replicas: 1 })).replicas).toBe(1)
  expect(last(follow([busy])).replicas).toBe(1)
})

/** Ten known jobs a second of five seconds each, from zero, while no pod works yet. */
function stream(latencySeconds: number, minReplicas = 0): readonly number[] {
  const fresh = (n: number, second: number): Observation =>
    observationOf(
      n,
      { waiting: 10 * (second + 1) },
      {
        pods: { ready: 0, starting: times(n, second), unschedulable: 0, notStarting: false, terminatingRunning: 0 },
        lastServiceSeconds: 5,
      },
    )
  const of = specOf({ target: { latencySeconds }, minReplicas })
  return follow(times(10, fresh), { of, replicas: minReplicas }).map(({ replicas }) => replicas)
}

test.each([0, 1])('from %i, what comes in a stream is ordered in one write more than the first', (minReplicas) => {
  const [first, second, ...later] = stream(30, minReplicas)
  expect(first).toBeGreaterThan(minReplicas)
  expect(second).toBe(first)
  expect(new Set(later).size).toBe(1)
  expect(later[0]).toBeGreaterThanOrEqual((10 * 5) / 4)
})

test('where pods start too late to wait for another look, it is not waited for', () => {
  const [first, second] = stream(25)
  expect(second).toBeGreaterThan(first as number)
})

test('to zero only after the cooldown, counted from the last job', () => {
  const decisions = follow(
    [
      ...times(60, (n: number) => observationOf(n, { running: 4, runningMs: 400 })),
      ...times(40, (n: number) => observationOf(n)),
    ],
    { replicas: 1 },
  )
  expect(decisions.findIndex(({ replicas }) => replicas === 0)).toBe(60 + 30)
  expect(decisions[70]).toMatchObject({ replicas: 1, reason: 'Idle', limitedBy: 'Cooldown' })
})

test('from many to zero after the cooldown, even where the window is longer', () => {
  const of = specOf({ behavior: { scaleDown: { stabilizationWindowSeconds: 100 } } })
  const idle = follow(
    [...times(60, (n: number) => observationOf(n, { running: 12 })), ...times(60, (n: number) => observationOf(n))],
    {
      of,
      replicas: 9,
    },
  )
  expect(idle.findIndex(({ replicas }) => replicas === 0)).toBe(60 + 30)
})

test.each([
  [10, 'more than once', [20, 1, 0]],
  [40, 'at its end only', [20, 0]],
])('with a window of %i s and a cooldown of 60 s it goes down %s', (stabilizationWindowSeconds, _, steps) => {
  const of = specOf({ behavior: { scaleDown: { stabilizationWindowSeconds } } })
  const decisions = follow(
    [...times(60, (n: number) => observationOf(n, { running: 80 })), ...times(60, (n: number) => observationOf(n))],
    { of, replicas: 20 },
  )
  expect([...new Set(decisions.map(({ replicas }) => replicas))]).toEqual(steps)
})

test('minReplicas stay when there is nothing to do', () => {
  const decisions = follow(
    times(200, (n: number) => observationOf(n)),
    { of: specOf({ minReplicas: 2 }), replicas: 6 },
  )
  expect(last(decisions)).toMatchObject({ replicas: 2, reason: 'MinReplicas', limitedBy: 'TooFewReplicas' })
})

test('replicas that a higher minimum asked for go one window after it is lowered, however long the jobs take', () => {
  // A job of two minutes each ten seconds: twelve run.
  const stream = (n: number, second: number): Observation =>
    observationOf(
      n,
      {
        flow: { started: 12 + second / 10, ended: second / 10, returned: 0, busyMs: 12_000 * second },
        running: 12,
        runningMs: 12 * 60_000,
      },
      { lastServiceSeconds: 120 },
    )
  const raised = last(follow(times(30, stream), { of: specOf({ minReplicas: 10 }), replicas: 4 }))
  expect(raised.replicas).toBe(10)
  const lowered = follow(times(40, stream), { memory: raised.nextMemory, start: 60, replicas: 10 })
  expect(lowered.findIndex(({ replicas }) => replicas < 10)).toBe(30)
})
