import { expect, test } from 'vitest'
import { decide, type Decision, type Memory } from '../../src/controller/decide.ts'
import { observationOf, specOf } from '../support/scaler.ts'

/** Pods with long jobs become free one by one, so that a scale-down takes many steps. */

const GOAL = 9

/**
 * 16 replicas with as much to do, then half of it, seen until fewer replicas are wanted; and what further looks decide.
 */
function begun(behavior: object = {}) {
  let memory: Memory | undefined
  let second = 0
  const of = specOf({ target: { jobsPerReplica: 10 }, behavior })
  const look = (waiting: number, replicas: number): Decision => {
    second += 2
    const decision = decide(of, observationOf(replicas, { waiting }), memory, second * 1000)
    memory = decision.nextMemory
    return decision
  }
  for (let i = 0; i < 100; i++) expect(look(160, 16).replicas).toBe(16)
  for (let i = 0; i < 40; i++) {
    const first = look(80, 16)
    if (first.replicas < 16) return { look, first: first.replicas }
  }
  throw new Error('nothing was given up')
}

test('the rest of a scale-down does not wait for a window after each of its steps', () => {
  const { look, first } = begun()
  expect(first).toBe(GOAL)
  for (let replicas = 16; replicas > GOAL; replicas--) {
    for (let i = 0; i < 3; i++) expect(look(80, replicas).replicas, `with ${replicas}`).toBe(GOAL)
  }
  // Then it is over: what is less again is another one, and waits until it has been quiet for a window.
  for (let i = 0; i < 30; i++) expect(look(60, GOAL).replicas).toBe(GOAL)
  expect(look(60, GOAL).replicas).toBe(7)
})

test('what is about to be given up stays so while the demand falls further, whether or not a pod is free yet', () => {
  const { look } = begun()
  for (let i = 0; i < 40; i++) expect(look(80 - i, 16).replicas).toBeLessThanOrEqual(GOAL)
})

test('a scale-down under way goes no further than it was begun for, and ends when demand comes back', () => {
  const { look } = begun()
  for (let i = 0; i < 25; i++) expect(look(50, 15).replicas).toBe(GOAL)
  expect(look(145, 15).replicas).toBe(15)
  for (let i = 0; i < 30; i++) expect(look(80, 15).replicas).toBe(15)
})

test('soon after a change it begins only when no lower number is in sight: one scale-down does for all', () => {
  let memory: Memory | undefined
  let second = 0
  const look = (running: number, replicas = 20): number => {
    second += 2
    const decision = decide(specOf(), observationOf(replicas, { running }), memory, second * 1000)
    memory = decision.nextMemory
    return decision.replicas
  }
  for (let i = 0; i < 40; i++) expect(look(40, 10)).toBe(10)
  for (let i = 0; i < 20; i++) expect(look(80)).toBe(20)
  for (let i = 0; i < 20; i++) expect(look(32)).toBe(20)
  const wanted = Array.from({ length: 60 }, () => look(4))
  expect(new Set(wanted)).toEqual(new Set([20, 2]))
})

test('its steps keep to the policies, which count from step to step', () => {
  const { look, first } = begun({ scaleDown: { policies: [{ type: 'Pods', value: 1, periodSeconds: 20 }] } })
  expect(first).toBe(15)
  let replicas = 15
  const fell: number[] = []
  for (let i = 0; i < 70; i++) {
    const wanted = look(80, replicas).replicas
    if (wanted < replicas) fell.push(i)
    replicas = wanted
  }
  // One each period, from the look that sees the step before.
  expect(fell).toEqual([10, 21, 32, 43, 54, 65])
  expect(replicas).toBe(GOAL)
})
