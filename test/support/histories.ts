import fc from 'fast-check'
import type { ScalerSpec } from '../../src/controller/api.ts'
import { decide, type Memory, type Observation } from '../../src/controller/decide.ts'
import { specOf } from './scaler.ts'

const queue = fc.record({
  name: fc.constantFrom('mailers', 'b', 'constructor', '__proto__'),
  waiting: fc.integer({ min: 0, max: 1_000_000 }),
  headAgeSeconds: fc.option(fc.double({ min: 0, max: 1e6, noNaN: true })),
  paused: fc.boolean(),
  flow: fc.record({ started: fc.nat(1e9), ended: fc.nat(1e9), returned: fc.nat(1e9), busyMs: fc.nat(1e12) }),
  running: fc.integer({ min: 0, max: 400 }),
  runningMs: fc.integer({ min: 0, max: 1e9 }),
  due: fc.array(fc.record({ inSeconds: fc.double({ min: -10, max: 100, noNaN: true }), count: fc.nat(10_000) }), {
    maxLength: 3,
  }),
  share: fc.double({ min: 0, max: 1, noNaN: true }),
})
/** Whatever may be seen. */
export const observation: fc.Arbitrary<Observation> = fc.record({
  replicas: fc.integer({ min: 0, max: 60 }),
  pods: fc.record({
    ready: fc.integer({ min: 0, max: 60 }),
    starting: fc.array(fc.double({ min: 0, max: 1000, noNaN: true }), { maxLength: 5 }),
    unschedulable: fc.constantFrom(0, 0, 3),
    notStarting: fc.constantFrom(false, false, true),
    terminatingRunning: fc.nat(10),
  }),
  queues: fc.uniqueArray(queue, { maxLength: 3, selector: ({ name }) => name }),
  foreign: fc.array(
    fc.record({
      id: fc.string(),
      processed: fc.option(fc.nat()),
      queue: fc.option(fc.constantFrom('mailers', 'x')),
      runAt: fc.constantFrom('', 'a', 'b'),
    }),
    {
      maxLength: 3,
    },
  ),
  registeredSlots: fc.option(fc.integer({ min: 1, max: 64 })),
  podStartSeconds: fc.option(fc.double({ min: 0, max: 600, noNaN: true })),
  lastServiceSeconds: fc.option(fc.double({ min: 0, max: 1000, noNaN: true })),
  lastSlotsPerReplica: fc.option(fc.integer({ min: 1, max: 64 })),
  hold: fc.constantFrom(null, null, null, { reason: 'ReplicasContested' as const, message: 'why' }),
})
const target = fc.constantFrom(
  { latencySeconds: 30 },
  { latencySeconds: 1 },
  { latencySeconds: 600, latencySecondsByQueue: { b: 3 } },
  { jobsPerReplica: 7 },
)
export const anySpec = fc
  .record({
    minReplicas: fc.nat(5),
    maxReplicas: fc.integer({ min: 5, max: 60 }),
    target,
    cooldownSeconds: fc.nat(100),
  })
  .map((fields) => specOf(fields))
/** Looks, each so many milliseconds after the last one. */
export const history = fc.array(fc.record({ after: fc.integer({ min: 0, max: 100_000 }), seen: observation }), {
  maxLength: 6,
})

/** What is remembered after a history, and when that is. */
export function remember(
  of: ScalerSpec,
  steps: readonly { after: number; seen: Observation }[],
): { memory: Memory | undefined; now: number } {
  let now = 0
  let memory: Memory | undefined
  for (const { after, seen } of steps) {
    now += after
    memory = decide(of, seen, memory, now).nextMemory
  }
  return { memory, now }
}
