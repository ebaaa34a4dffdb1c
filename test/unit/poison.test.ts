import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decide, type Memory, type Observation } from '../../src/controller/decide.ts'
import { observationOf, specOf } from '../support/scaler.ts'

const SECOND = 1000

test.for([
  ['ten times a second', 0.1],
  ['once a second', 1],
  ['every ten seconds', 10],
  ['every minute', 60],
] as const)('a poison job that comes back %s asks for no more than jobs that end as often', ([, seconds]) => {
  const spec = specOf({ slotsPerReplica: 1 })
  const seen = (isPoison: boolean, replicas: number, second: number): Observation => {
    const left = Math.floor(second / seconds)
    const flow = isPoison
      ? { started: left + 1, ended: 0, returned: left, busyMs: 0 }
      : { started: left + 1, ended: left, returned: 0, busyMs: left * seconds * SECOND }
    const runningMs = (second % seconds) * SECOND
    return observationOf(replicas, { headAgeSeconds: isPoison ? 90_000 : null, flow, running: 1, runningMs })
  }
  /** The most replicas in ten minutes that begin with one. */
  const most = (isPoison: boolean): number => {
    let memory: Memory | undefined
    let replicas = 1
    let highest = 1
    for (let second = 2; second <= 600; second += 2) {
      const decision = decide(spec, seen(isPoison, replicas, second), memory, second * SECOND)
      memory = decision.nextMemory
      replicas = decision.replicas
      highest = Math.max(highest, replicas)
    }
    return highest
  }
  expect(most(true)).toBeLessThanOrEqual(most(false))
})

test('however old the head says it is, it is late and no more', () => {
  const spec = specOf()
  const anyLoad = fc.record({
    waiting: fc.integer({ min: 1, max: 2000 }),
    service: fc.double({ min: 0.05, max: 600, noNaN: true }),
    replicas: fc.nat(40),
    age: fc.double({ min: 30, max: 1e9, noNaN: true }),
  })
  fc.assert(
    fc.property(anyLoad, ({ waiting, service, replicas, age }) => {
      const raw = (headAgeSeconds: number): number => {
        const observation = observationOf(replicas, { waiting, headAgeSeconds }, { lastServiceSeconds: service })
        return decide(spec, observation, undefined, 0).raw
      }
      expect(raw(age)).toBe(raw(30))
    }),
  )
})
