import { expect, test } from 'vitest'
import type { Observed } from '../../src/controller/observe.ts'
import { sayings } from '../../src/controller/say.ts'
import { observationOf, scalerOf } from '../support/scaler.ts'

/** Of a turn that has seen no registered worker, in so many ready pods; undefined: a turn that saw nothing. */
function drainSupported(ready: number | undefined): string {
  const observed: Observed = {
    observation: observationOf(ready ?? 0),
    fleet: 'none',
    otherQueues: undefined,
    queues: ['mailers'],
    shared: [],
  }
  const { status, reason, message } = sayings({
    scaler: scalerOf(),
    observed: ready === undefined ? undefined : observed,
    decision: undefined,
    trouble: undefined,
    dryRun: false,
    outdated: [],
    waits: undefined,
  }).DrainSupported
  return `${status} ${reason}: ${message}`
}

test('only ready pods without a registered worker are said to have the wrong Redis', () => {
  expect(drainSupported(2)).toMatch(/^Unknown NoWorkers: .* in the scaler's Redis/)
  expect(drainSupported(0)).toMatch(/^Unknown NoWorkers: no pod is ready/)
  expect(drainSupported(undefined)).toBe('Unknown NotObserved: not observed yet')
})
