import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decide, lookaheadSeconds, type Memory, type Observation } from '../../src/controller/decide.ts'
import { anySpec, history, observation, remember } from '../support/histories.ts'
import { follow, last, observationOf, queueOf, specOf, times } from '../support/scaler.ts'

const SECOND = 1000
const spec = specOf()

test('jobs of a paused queue ask for nothing, running ones do', () => {
  const paused = observationOf(0, { waiting: 100, paused: true })
  expect(decide(spec, paused, undefined, 0)).toMatchObject({
    replicas: 0,
    active: false,
    pausedQueues: ['mailers'],
    waiting: 0,
  })
  expect(decide(spec, observationOf(0, { waiting: 9, paused: true, running: 1 }), undefined, 0).replicas).toBe(1)
})

test('delayed jobs that are due soon ask for pods before they are due', () => {
  const due = observationOf(0, { due: [{ inSeconds: 15, count: 500 }] })
  const decision = decide(spec, due, undefined, 0)
  expect(decision.reason).toBe('Lookahead')
  expect(decision.replicas).toBeGreaterThan(1)
  expect(lookaheadSeconds(spec, 20)).toBe(24)
  // Others may look further ahead.
  const later = observationOf(0, { due: [{ inSeconds: 25, count: 500 }] })
  expect(decide(spec, later, undefined, 0)).toMatchObject({ replicas: 0, active: false })
})

// How many

test('a burst is given as many slots as start it in time, and no more than twice as many', () => {
  // 800 jobs of a second; a pod works after 20 s, so that each of its slots starts 8 to 10 of them.
  const { replicas } = decide(spec, observationOf(0, { waiting: 800 }), undefined, 0)
  expect(replicas).toBeGreaterThanOrEqual(800 / 10 / 4)
  expect(replicas).toBeLessThanOrEqual((2 * 800) / 8 / 4)
})

test('of jobs that nobody knows, a batch is given a slot for each, and what that was too much is not held on to', () => {
  const unknown = { lastServiceSeconds: null }
  const idle = times(40, (n: number) => observationOf(n, {}, unknown))
  const flow = { started: 100, ended: 100, returned: 0, busyMs: 5000 }
  const decisions = follow([
    ...idle,
    (n) => observationOf(n, { waiting: 100 }, unknown),
    ...times(10, (n: number) => observationOf(n, { waiting: 100 }, unknown)),
    (n) => observationOf(n, { flow }, unknown),
  ])
  expect(decisions[40]?.replicas).toBeGreaterThanOrEqual(100 / 4)
  expect(last(decisions).replicas).toBeLessThanOrEqual(2)
})

test('the service time of a first wave is known by the jobs that ended, not by those on their way', () => {
  const wave = (n: number, second: number): Observation => {
    const begun = Math.min(80, second)
    const ended = Math.max(0, Math.min(80, second - 40))
    return observationOf(n, {
      flow: { started: begun, ended, returned: 0, busyMs: 40_000 * ended },
      running: begun - ended,
      runningMs: (begun - ended) * 20_000,
    })
  }
  const { serviceSeconds } = last(follow(times(24, wave), { replicas: 20, start: 2 }))
  expect(serviceSeconds).toBeGreaterThan(30)
  expect(serviceSeconds).toBeLessThan(45)
})

test('jobs that began together are taken for longer ones only once they are older than jobs become', () => {
  const first = { started: 20, ended: 20, returned: 0, busyMs: 400_000 }
  const together = (n: number, second: number): Observation =>
    second <= 20
      ? observationOf(n, { flow: { ...first, ended: 0, busyMs: 0 }, running: 20, runningMs: 20_000 * second })
      : observationOf(n, { flow: { ...first, started: 180 }, running: 160, runningMs: 160_000 * (second - 22) })
  const service = follow(times(31, together), { replicas: 45 }).map(({ serviceSeconds }) => serviceSeconds)
  expect(Math.max(...service.slice(11, 21))).toBeLessThan(22)
  expect(service[30]).toBeGreaterThan(25)
})

test('pods that start already are not ordered twice', () => {
  const waiting = { waiting: 800 }
  const first = decide(spec, observationOf(0, waiting), undefined, 0)
  const pods = {
    ready: 0,
    starting: times(first.replicas, 2),
    unschedulable: 0,
    notStarting: false,
    terminatingRunning: 0,
  }
  const second = decide(spec, observationOf(first.replicas, waiting, { pods }), first.nextMemory, 2 * SECOND)
  expect(second.replicas).toBe(first.replicas)
})

test('arrivals are departures plus growth of the backlog, and the rate follows them', () => {
  const steady = (n: number, second: number): Observation =>
    observationOf(n, {
      flow: { started: 10 * second, ended: 10 * second, returned: 0, busyMs: 8000 * second },
      running: 8,
      runningMs: 3200,
    })
  const decision = last(follow(times(300, steady), { replicas: 3 }))
  expect(decision.arrivalRate).toBeCloseTo(10, 1)
  expect(decision.serviceSeconds).toBeCloseTo(0.8, 2)
  expect(decision.replicas).toBe(3)
})

test('jobs longer than anything remembered are known by the time they have run', () => {
  const long = (n: number, second: number): Observation =>
    observationOf(n, {
      flow: { started: 4, ended: 0, returned: 0, busyMs: 0 },
      running: 4,
      runningMs: 4 * second * SECOND,
    })
  const { serviceSeconds } = last(follow(times(150, long), { replicas: 1, start: 2 }))
  expect(serviceSeconds).toBeGreaterThan(150)
})

test('a poison job that is put back again and again has no age of its own', () => {
  const poison = (n: number, second: number): Observation =>
    observationOf(n, {
      waiting: 1,
      headAgeSeconds: 90_000,
      flow: { started: second, ended: 0, returned: second, busyMs: 0 },
    })
  const decision = last(follow(times(60, poison), { replicas: 1, start: 2 }))
  expect(decision.latencySeconds).toBeLessThan(30)
  expect(decision.replicas).toBeLessThanOrEqual(2)
})

test('workers of other programs count by what they have processed', () => {
  const foreign = (n: number, second: number): Observation =>
    observationOf(
      n,
      {},
      {
        foreign: times(4, 0).map((_, i) => ({
          id: `host-${i}:1:mailers`,
          processed: second,
          queue: 'mailers',
          runAt: `${second}`,
        })),
      },
    )
  const decision = last(follow(times(200, foreign), { replicas: 1 }))
  expect(decision.running).toBe(4)
  expect(decision.arrivalRate).toBeCloseTo(4, 0)
  expect(decision.serviceSeconds).toBeCloseTo(1, 1)
})

test('where they do not even count, a job has ended once they are idle or run another', () => {
  const foreign = (n: number, second: number): Observation => {
    const one = (i: number): Observation['foreign'][number] => {
      const isIdle = (second / 2 + i) % 4 === 0
      return {
        id: `host-${i}:1:q`,
        processed: null,
        queue: isIdle ? null : 'mailers',
        runAt: isIdle ? '' : `${second}`,
      }
    }
    return observationOf(n, {}, { foreign: times(4, 0).map((_, i) => one(i)) })
  }
  const decision = last(follow(times(200, foreign), { replicas: 1 }))
  expect(decision.serviceSeconds).toBeLessThan(3)
  expect(decision.replicas).toBeLessThan(3)
})

test('of a shared queue a scaler takes its part', () => {
  const whole = decide(spec, observationOf(0, { waiting: 4000 }), undefined, 0)
  const half = decide(spec, observationOf(0, { waiting: 4000, share: 0.5 }), undefined, 0)
  expect(half.waiting).toBe(whole.waiting / 2)
  expect(half.raw).toBeCloseTo(whole.raw / 2)
})

test('of what runs in a shared queue a scaler takes its part', () => {
  const { running, terms } = decide(spec, observationOf(0, { running: 40, share: 0.5 }), undefined, 0)
  expect({ running, busy: terms.busy }).toEqual({ running: 20, busy: 5 })
})

test('demand is the sum over queues, each with its own target', () => {
  const of = specOf({ queues: ['a', 'b'], target: { latencySeconds: 300, latencySecondsByQueue: { b: 30 } } })
  const both = (a: number, b: number): number =>
    decide(
      of,
      observationOf(0, {}, { queues: [queueOf({ name: 'a', waiting: a }), queueOf({ name: 'b', waiting: b })] }),
      undefined,
      0,
    ).raw
  expect(both(0, 800)).toBeGreaterThan(4 * both(800, 0))
  // What is due in five minutes is done by pods that are there for the other queue; but not ten times as much.
  expect(both(80_000, 800)).toBeGreaterThan(both(80_000, 0))
  expect(both(80_000, 800)).toBeGreaterThan(both(0, 800))
})

test('with a depth target, jobs that wait and run are shared out', () => {
  const of = specOf({ target: { jobsPerReplica: 10 } })
  const decision = decide(of, observationOf(2, { waiting: 33, running: 8 }), undefined, 0)
  expect(decision).toMatchObject({ replicas: 4, raw: 4.1, reason: 'Depth' })
})

test('slots come from the spec, the registered workers, the status, or are taken for one', () => {
  const of = specOf({ slotsPerReplica: undefined })
  const slots = (fields: Partial<Observation>): number =>
    decide(of, observationOf(1, {}, fields), undefined, 0).slotsPerReplica
  expect(decide(spec, observationOf(1, {}, { registeredSlots: 9 }), undefined, 0).slotsPerReplica).toBe(4)
  expect(slots({ registeredSlots: 9, lastSlotsPerReplica: 2 })).toBe(9)
  expect(slots({ registeredSlots: null, lastSlotsPerReplica: 2 })).toBe(2)
  expect(slots({ registeredSlots: null, lastSlotsPerReplica: null })).toBe(1)
})

// What holds it back

test('nothing changes while it is held, and nothing is learned meanwhile', () => {
  const before = last(
    follow(
      times(20, (n: number) => observationOf(n, { running: 8 })),
      { replicas: 5 },
    ),
  )
  const hold = { reason: 'ReplicasContested', message: 'why' } as const
  const queues = [queueOf({ name: 'never seen', waiting: 9 })]
  const held = decide(spec, observationOf(5, {}, { hold, queues }), before.nextMemory, 900 * SECOND)
  expect(held).toMatchObject({ replicas: 5, reason: hold.reason, hold })
  expect(held.nextMemory).toBe(before.nextMemory)
  expect(decide(spec, observationOf(0, {}, { hold, queues: [] }), undefined, 0).replicas).toBe(0)
})

test('no scale-down for one window after a start and after a change of the spec', () => {
  const idle = (n: number): Observation => observationOf(n)
  const first = follow(times(40, idle), { replicas: 8, of: specOf({ minReplicas: 1 }) })
  expect(first.findIndex(({ replicas }) => replicas < 8)).toBe(30)
  const memory = last(first).nextMemory
  const other = specOf({ minReplicas: 1, cooldownSeconds: 70 })
  const after = decide(other, observationOf(8, {}), memory, 80 * SECOND)
  expect(after).toMatchObject({ replicas: 8, limitedBy: 'ScaleDownStabilized' })
})

test('a new maximum counts at once', () => {
  expect(decide(specOf({ maxReplicas: 3 }), observationOf(8), undefined, 0)).toMatchObject({
    replicas: 3,
    limitedBy: 'TooManyReplicas',
  })
})

test('while pods cannot be scheduled one more is tried, and all of them every five minutes', () => {
  const stuck = (n: number): Observation =>
    observationOf(
      n,
      { waiting: 8000 },
      {
        pods: { ready: 2, starting: [], unschedulable: Math.max(0, n - 2), notStarting: false, terminatingRunning: 0 },
      },
    )
  const wanted = follow(times(200, stuck), { replicas: 3 }).map(({ replicas }) => replicas)
  expect(wanted.slice(0, 150)).toEqual(times(150, 3))
  expect(wanted[150]).toBe(50)
  expect(wanted[199]).toBe(3)
})

test('policies limit a step, and from zero there is always one', () => {
  const of = specOf({ behavior: { scaleUp: { policies: [{ type: 'Percent', value: 100, periodSeconds: 60 }] } } })
  const burst = (n: number): Observation => observationOf(n, { waiting: 8000 })
  expect(follow(times(3, burst), { of }).map(({ replicas }) => replicas)).toEqual([1, 1, 1])
  expect(follow([burst], { of, replicas: 4 })[0]).toMatchObject({ replicas: 8, limitedBy: 'ScaleUpLimit' })
})

// Always

/** What reads the same as plain data, deeply frozen. */
function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(frozen)
  return value
}

test('the answer is within bounds, of finite numbers, and the same each time; memory is plain data', () => {
  fc.assert(
    fc.property(anySpec, history, observation, (of, steps, seen) => {
      const { memory, now } = remember(of, steps)
      const decision = decide(frozen(of), frozen(structuredClone(seen)), frozen(memory), now + 2000)
      const { replicas, raw, terms, arrivalRate, serviceSeconds, latencySeconds } = decision
      for (const figure of [replicas, raw, arrivalRate, serviceSeconds, latencySeconds, ...Object.values(terms)]) {
        expect(Number.isFinite(figure) && figure >= 0).toBe(true)
      }
      const [least, most] = seen.hold === null ? [of.minReplicas, of.maxReplicas] : [seen.replicas, seen.replicas]
      expect(replicas).toBeGreaterThanOrEqual(least)
      expect(replicas).toBeLessThanOrEqual(most)
      expect(Number.isInteger(replicas)).toBe(true)
      const stored = memory && (JSON.parse(JSON.stringify(memory)) as Memory)
      expect(decide(of, seen, stored, now + 2000)).toMatchObject({ replicas, raw, reason: decision.reason })
    }),
    { numRuns: 500 },
  )
})

test('more waiting or due jobs never give fewer replicas', () => {
  const more = fc.record({ waiting: fc.nat(5000), due: fc.nat(5000), which: fc.nat(2) })
  fc.assert(
    fc.property(anySpec, history, observation, more, (of, steps, seen, { waiting, due, which }) => {
      const { memory, now } = remember(of, steps)
      const heavier = {
        ...seen,
        queues: seen.queues.map((one, i) =>
          i === which % seen.queues.length
            ? { ...one, waiting: one.waiting + waiting, due: [...one.due, { inSeconds: 5, count: due }] }
            : one,
        ),
      }
      const light = decide(of, seen, memory, now + 2000)
      const heavy = decide(of, heavier, memory, now + 2000)
      expect(heavy.replicas).toBeGreaterThanOrEqual(light.replicas)
    }),
    { numRuns: 1000 },
  )
})
