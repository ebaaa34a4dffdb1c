import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ScalerSpec } from '../../src/controller/api.ts'
import { decide, type Memory, type Observation } from '../../src/controller/decide.ts'
import { anySpec, history, observation, remember } from '../support/histories.ts'
import { follow, last, observationOf, specOf, times } from '../support/scaler.ts'

const SECOND = 1000
const spec = specOf()

/**
 * 35 jobs of a second per second, seen by 10 pods for five minutes; then nothing is seen until `second` 662, as when
 * Redis is away for a minute.
 */
const beforeOutage = (of: ScalerSpec): Memory => {
  const steady = (n: number, second: number): Observation =>
    observationOf(n, {
      flow: { started: 35 * second, ended: 35 * second - 35, returned: 0, busyMs: 1000 * (35 * second - 35) },
      running: 35,
      runningMs: 17_500,
    })
  return last(follow(times(301, steady), { of, replicas: 10 })).nextMemory
}

test.each([
  ['nothing is left to do', {}],
  ['the jobs that ran are held for dead', { running: 35, runningMs: 35 * 62_000 }],
  ['producers begin to retry', { waiting: 20 }],
])('an outage of Redis is no quiet time: the fleet and the rate stay for one window, although %s', (_, queue) => {
  const flow = { started: 35 * 601, ended: 35 * 601, returned: 0, busyMs: 35_000 * 601 }
  const after = (now: number, memory: Memory) =>
    decide(spec, observationOf(10, { flow, ...queue }), memory, now * SECOND)
  const first = after(662, beforeOutage(spec))
  expect(first.arrivalRate).toBeGreaterThan(30)
  expect(first.serviceSeconds).toBeCloseTo(1, 1)
  expect(first.replicas).toBeGreaterThanOrEqual(10)
  expect(first.replicas).toBeLessThanOrEqual(12)
  let { nextMemory } = first
  for (let second = 664; second < 722; second += 2) {
    const decision = after(second, nextMemory)
    expect(decision.replicas).toBeGreaterThanOrEqual(10)
    nextMemory = decision.nextMemory
  }
})

test('the time in which nobody looked counts for no cooldown', () => {
  const of = specOf({ cooldownSeconds: 100 })
  const idle = (n: number): Observation => observationOf(n)
  const { nextMemory } = last(follow(times(40, idle), { of, replicas: 1 }))
  const step = (memory: Memory, second: number) => decide(of, observationOf(1), memory, second * SECOND)
  const back = step(nextMemory, 278)
  expect(back.replicas).toBe(1)
  let memory = back.nextMemory
  const seen: number[] = []
  for (let second = 280; seen.at(-1) !== 0 && second < 500; second += 2) {
    const decision = step(memory, second)
    memory = decision.nextMemory
    seen.push(decision.replicas)
  }
  expect(seen).toHaveLength(50)
})

test('a gap counts as one look: arrivals of it are an average, and a slow look is none', () => {
  const rate = (of: ScalerSpec, after: number): number => {
    const flow = { started: 35 * 600, ended: 35 * 600, returned: 0, busyMs: 35_000 * 600 }
    return decide(of, observationOf(10, { flow }), beforeOutage(of), (600 + after) * SECOND).arrivalRate
  }
  expect(rate(spec, 11)).toBeGreaterThan(30)
  expect(rate(spec, 9)).toBeLessThan(25)
  const rare = specOf({ pollingIntervalSeconds: 8 })
  expect(rate(rare, 21)).toBeGreaterThan(rate(rare, 19))
})

test('after a gap between two looks nothing goes down for one window, whatever is seen', () => {
  const pods = { starting: [], unschedulable: 0, notStarting: false, terminatingRunning: 0 }
  const gap = fc.integer({ min: 10_001, max: 10_000_000 })
  const later = fc.array(observation, { maxLength: 5 })
  fc.assert(
    fc.property(anySpec, history, gap, observation, later, (of, steps, ms, seen, more) => {
      let { memory, now } = remember(of, [...steps, { after: 0, seen: { ...seen, hold: null } }])
      now += ms
      for (const one of [seen, ...more]) {
        const looked = { ...one, pods: { ...pods, ready: one.replicas }, hold: null }
        const { replicas, nextMemory } = decide(of, looked, memory, now)
        expect(replicas).toBeGreaterThanOrEqual(Math.min(one.replicas, of.maxReplicas))
        memory = nextMemory
        now += 9_900
      }
    }),
    { numRuns: 300 },
  )
})
