import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ResQueueError } from '../../src/errors.ts'
import { createFleet, inDeletionOrder, type Pod } from '../../src/controller/simulate/fleet.ts'
import { createHpa } from '../../src/controller/simulate/hpa.ts'
import { hpa, keda, resqueue, type Model } from '../../src/controller/simulate/models.ts'
import { plot } from '../../src/controller/simulate/plot.ts'
import {
  answerOf,
  DEPTH_TARGETS,
  simulate,
  type Answer,
  type Question,
} from '../../src/controller/simulate/simulate.ts'
import { readScalerFile } from '../../src/controller/simulate/scalerfile.ts'
import { readTrace, type Trace } from '../../src/controller/simulate/trace.ts'
import { ROOT } from '../support/process.ts'
import { specOf } from '../support/scaler.ts'
import { chanceOfTest } from '../support/seed.ts'
import { randomLoad, traceOf } from '../support/traces.ts'

type Report = Answer['report']

const SHIPPED = ['steady', 'step', 'burst', 'sawtooth', 'night-batch', 'long-tail']
const file = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const shipped = (name: string): Trace => readTrace(file(`examples/traces/${name}.csv`), name)
const { spec } = readScalerFile(file('examples/scalers/mailers.yaml'), 'mailers.yaml')
const question = (trace: Trace): Question => ({ trace, spec, slots: 4, podStartSeconds: 20, serviceSeconds: null })
const ours = (trace: Trace): Answer =>
  answerOf(question(trace), resqueue(spec, { ...question(trace), queue: 'mailers' }))
const jobs = (...list: readonly (readonly [at: number, seconds: number])[]): Trace => ({
  name: 'few',
  seconds: Math.ceil((list.at(-1)?.[0] ?? 0) + 1),
  arrivedAt: new Float64Array(list.map(([at]) => at)),
  serviceSeconds: new Float64Array(list.map(([, seconds]) => seconds)),
})

// Traces

test('parts of jobs add up to whole ones, each row of a second for itself', () => {
  const rows = Array.from({ length: 10 }, (_, second) => `${second},0.1,1\n${second},0.5,2\n`)
  const { arrivedAt, serviceSeconds } = readTrace(`second,arrivals,service_seconds\n${rows.join('')}`, 'a.csv')
  expect([...serviceSeconds]).toEqual([2, 2, 2, 2, 1, 2])
  expect([...arrivedAt]).toEqual([1, 3, 5, 7, 9, 9.5])
})

test('a trace is read, and its arrivals are spread evenly over their second', () => {
  const trace = readTrace('second,arrivals,service_seconds\r\n# quiet before\n3,2,0.5\n\n3,1,9\n5,0,\n', 'a.csv')
  expect(trace.seconds).toBe(6)
  expect([...trace.arrivedAt]).toEqual([3, 3 + 1 / 3, 3 + 2 / 3])
  expect(trace.serviceSeconds.toSorted()).toEqual(new Float64Array([0.5, 0.5, 9]))
})

test('a trace may have a row for each job: those of one second take turns', () => {
  const rows = Array.from({ length: 100_000 }, (_, i) => `0,1,${i + 1}\n`)
  const { serviceSeconds } = readTrace(`second,arrivals,service_seconds\n${rows.join('')}`, 'a.csv')
  expect(serviceSeconds).toEqual(Float64Array.from(rows, (_, i) => i + 1))
  const mixed = readTrace('second,arrivals,service_seconds\n0,4,1\n0,2,2\n0,1,3\n', 'a.csv')
  expect([...mixed.serviceSeconds]).toEqual([1, 1, 2, 1, 1, 2, 3])
})

test.each([
  ['', 'a.csv:1: the file is empty; its first line must be second,arrivals,service_seconds'],
  ['time,jobs\n', 'a.csv:1: the first line must be second,arrivals,service_seconds, not "time,jobs"'],
  [
    'second,arrivals,service_seconds\n1,2\n',
    'a.csv:2: a row has three values (second,arrivals,service_seconds), not 2',
  ],
  ['second,arrivals,service_seconds\n1,2,x\n', 'a.csv:2: service_seconds must be a number above 0, not "x"'],
  ['second,arrivals,service_seconds\n1,2,2592001\n', 'a.csv:2: service_seconds 2592001 is more than 30 days'],
  ['second,arrivals,service_seconds\n1,-2,1\n', 'a.csv:2: arrivals must be a number from 0, not "-2"'],
  ['second,arrivals,service_seconds\n1,1e400,1\n', 'a.csv:2: arrivals must be a number from 0, not "1e400"'],
  ['second,arrivals,service_seconds\n0.5,2,1\n', 'a.csv:2: second must be a whole number from 0, not "0.5"'],
  ['second,arrivals,service_seconds\n9,2,1\n8,2,1\n', 'a.csv:3: second 8 comes after 9; sort the rows by time'],
  [
    'second,arrivals,service_seconds\n1,0,1\n',
    'a.csv:1: there is no job in the trace; at least one row needs arrivals above 0',
  ],
])('a trace of %j is refused: %s', (text, message) => {
  expect(() => readTrace(text, 'a.csv')).toThrow(new ResQueueError('CONFIG', message))
})

// The fleet

test('every job starts once and pods cost from their order to their exit', () => {
  const trace = jobs([0, 10], [1, 10], [2, 10])
  const fleet = createFleet({ trace, slots: 2, podStartSeconds: 20, replicas: 0 })
  fleet.runUntil(5)
  fleet.scale(1)
  fleet.runUntil(44.9)
  expect(fleet.isDone()).toBe(false)
  fleet.runUntil(45)
  expect(fleet.isDone()).toBe(true)
  fleet.scale(0)
  expect(fleet.counters()).toMatchObject({ started: 3, ended: 3, running: 0, busySeconds: 30 })
  const { waits, podSeconds, changes, busyPodsKilled } = fleet.tally()
  expect([...waits]).toEqual([25, 24, 33])
  expect({ podSeconds, changes, busyPodsKilled }).toEqual({ podSeconds: 41, changes: 2, busyPodsKilled: 0 })
})

test('a busy pod that is killed puts its jobs back in front', () => {
  const fleet = createFleet({ trace: jobs([0, 10], [0.5, 10], [1, 1]), slots: 2, podStartSeconds: 0, replicas: 1 })
  fleet.runUntil(5)
  fleet.scale(0)
  expect(fleet.waiting()).toBe(3)
  expect(fleet.headArrivedAt()).toBe(0)
  fleet.scale(1)
  fleet.runUntil(100)
  expect(fleet.isDone()).toBe(true)
  expect(fleet.counters()).toMatchObject({ started: 5, ended: 3, returned: 2 })
  expect(fleet.tally().busyPodsKilled).toBe(1)
})

test('a drained pod takes no job until the mark is taken away', () => {
  const fleet = createFleet({ trace: jobs([1, 1], [2, 1]), slots: 1, podStartSeconds: 0, replicas: 1 })
  const [pod] = fleet.pods() as [Pod]
  fleet.drain(pod)
  fleet.runUntil(10)
  expect(fleet.counters().started).toBe(0)
  fleet.undrain(pod)
  fleet.runUntil(20)
  expect(fleet.isDone()).toBe(true)
})

test('pods are deleted in the order of the ReplicaSet controller', () => {
  const pod = (id: number, readyAt: number, drainedAt: number | null = null, busy = false) => ({
    id,
    createdAt: 0,
    readyAt,
    drainedAt,
    running: new Set(busy ? [1] : []),
    generation: 0,
    isGone: false,
  })
  const pods = [pod(0, 10), pod(1, 900), pod(2, 2000), pod(3, 20, 500, true), pod(4, 20, 500)]
  expect(inDeletionOrder(pods, 1000).map(({ id }) => id)).toEqual([2, 4, 3, 1, 0])
})

// The other autoscalers

test('the HPA without a behavior follows the rules of its source', () => {
  const { sync } = createHpa(10, 1, 50)
  // Within the tolerance of 10 % nothing happens; beyond it, ceil(metric ÷ target).
  expect(sync(54, 5, 0)).toBe(5)
  expect(sync(56, 5, 15)).toBe(6)
  // Down only to the highest recommendation of the last 300 s.
  expect(sync(0, 6, 30)).toBe(6)
  expect(sync(0, 6, 300)).toBe(6)
  expect(sync(0, 6, 315)).toBe(1)
  // At zero it is off, unless zero is the minimum.
  expect(sync(100, 0, 400)).toBe(0)
  expect(createHpa(10, 0, 50).sync(100, 0, 0)).toBe(4)
})

test('the HPA without a behavior goes to 4 or to twice as many at each look, and on to the highest recommendation when the queue is empty again', () => {
  const { sync } = createHpa(10, 1, 50)
  let replicas = 1
  const steps = [900, 900, 900, 0, 0, 0].map((metric, look) => (replicas = sync(metric, replicas, 15 * look)))
  expect(steps).toEqual([4, 8, 16, 32, 50, 50])
  expect(createHpa(10, 1, 50).sync(900, 3, 0)).toBe(6)
  // The last look at a long queue was at 30 s.
  expect(sync(0, 50, 315)).toBe(50)
  expect(sync(0, 50, 330)).toBe(1)
})

/** Replicas at given seconds under a model. */
function replicasOf(model: Model, trace: Trace, at: readonly number[]): readonly number[] {
  const { samples } = answerOf({ ...question(trace), spec: specOf() }, model).run
  return at.map((second) => samples.findLast((sample) => sample.at <= second)?.replicas ?? Number.NaN)
}

test('KEDA polls every 30 s, leaves 1 to N to the HPA and goes to zero after 300 s', () => {
  const model = keda(specOf(), 'keda', 5)
  // A loop's first turn comes after half its interval: 15 s for the poll, 7.5 s for the HPA.
  const few = jobs([0, 1], [16, 1])
  expect(replicasOf(model, few, [14, 16, 44, 46, 314])).toEqual([0, 1, 1, 1, 1])
  expect(answerOf({ ...question(few), spec: specOf() }, model).run.restedAt).toBe(315)
  // LLEN counts what waits: long jobs are killed when nothing waits behind them.
  const killed = answerOf({ ...question(jobs([0, 500])), spec: specOf() }, model)
  expect(killed.report.busyPodsKilled).toBeGreaterThan(0)
})

test('tuned models are the most punctual of all depth targets, then the cheapest', () => {
  const asked = question(shipped('step'))
  const all = DEPTH_TARGETS.map((depth) => answerOf(asked, hpa(spec, 'hpa-tuned', depth)).report)
  const tuned = simulate(asked).find(({ report }) => report.model === 'hpa-tuned')?.report
  const share = Math.max(...all.map(({ startedWithinTarget }) => startedWithinTarget))
  expect(tuned?.startedWithinTarget).toBeGreaterThanOrEqual(share)
  // The default, 30, may be more punctual than all of them.
  const rivals = all.filter(({ startedWithinTarget }) => startedWithinTarget === tuned?.startedWithinTarget)
  expect(tuned?.podMinutes).toBeLessThanOrEqual(Math.min(...rivals.map(({ podMinutes }) => podMinutes)))
})

// What is promised

test.each(SHIPPED)(
  'on %s, jobs start in time, at no more than what others cost that are as punctual, and no busy pod is killed',
  (name) => {
    const trace = shipped(name)
    const [mine, ...others] = simulate(question(trace)).map(({ report }) => report) as [Report, ...Report[]]
    expect(others.map(({ model }) => model)).toEqual(['keda-default', 'keda-tuned', 'hpa-default', 'hpa-tuned'])
    expect(mine.startedWithinTarget).toBeGreaterThanOrEqual(0.995)
    expect(mine.busyPodsKilled).toBe(0)
    expectCheap(mine, [...others, ...peersOf(trace)])
  },
)

function peersOf(trace: Trace): readonly Report[] {
  return DEPTH_TARGETS.flatMap((depth) => [keda(spec, 'keda', depth), hpa(spec, 'hpa', depth)]).map(
    (model) => answerOf(question(trace), model).report,
  )
}

/**
 * Against the cheapest that is at least as punctual; where none is, at most half as much again as the cheapest with 80
 * %.
 */
function expectCheap(mine: Report, others: readonly Report[]): void {
  const cheapest = (share: number): number =>
    Math.min(...others.filter((one) => one.startedWithinTarget >= share).map(({ podMinutes }) => podMinutes))
  const asPunctual = cheapest(mine.startedWithinTarget)
  expect(mine.podMinutes).toBeLessThanOrEqual(Number.isFinite(asPunctual) ? asPunctual : 1.5 * cheapest(0.8))
}

test('a steady trace with 5 % of noise changes the replicas at most four times an hour', () => {
  expect(ours(shipped('steady')).report.changes).toBeLessThanOrEqual(4)
})

test('from zero within 3 s, and gone 75 s after the last job', () => {
  const { samples, endedAt, restedAt } = ours(jobs([101.5, 3])).run
  expect(samples.find(({ replicas }) => replicas > 0)?.at).toBeLessThanOrEqual(101.5 + 3)
  expect((restedAt ?? Number.NaN) - (endedAt ?? Number.NaN)).toBeLessThanOrEqual(75)
})

test('traces that nobody has seen: eleven of twelve start 99.5 % in time, all of them 99 %, and no busy pod is killed', () => {
  const random = chanceOfTest()
  const shares = Array.from({ length: 12 }, () => {
    const seed = random.between(1, 2 ** 31)
    const trace = traceOf(`seed ${seed}`, seed, randomLoad(seed))
    const { report } = answerOf(
      { ...question(trace), serviceSeconds: 1 },
      resqueue(spec, { ...question(trace), queue: 'mailers' }),
    )
    expect(report.busyPodsKilled).toBe(0)
    return report.startedWithinTarget
  })
  expect(Math.min(...shares)).toBeGreaterThan(0.99)
  expect(shares.filter((share) => share >= 0.995).length).toBeGreaterThanOrEqual(11)
})

test('the same trace gives the same answer', () => {
  const once = simulate(question(shipped('burst'))).map(({ report }) => report)
  expect(simulate(question(shipped('burst'))).map(({ report }) => report)).toEqual(once)
})

test('the plot is one SVG that names every model, and text from outside cannot leave it', () => {
  const asked = question(shipped('burst'))
  const svg = plot(asked, simulate(asked), '<script>&"')
  expect(svg.match(/<svg /g)).toHaveLength(1)
  for (const name of ['resqueue', 'keda-default', 'keda-tuned', 'hpa-default', 'hpa-tuned']) expect(svg).toContain(name)
  expect(svg).not.toContain('<script>')
  expect(svg).not.toMatch(/NaN|undefined|Infinity/)
  // Ours is drawn last, and its replicas end at zero.
  expect(svg.match(/<path d="[^"]*"/g)?.at(-1)).toMatch(/,882"$/)
})

test('the plot of a trace of hours shows what lasts for seconds', () => {
  const burst = Array.from({ length: 50 }, (): [number, number] => [10_001.2, 1])
  const asked = { ...question(jobs([0, 1], ...burst, [36_000, 1])), spec: specOf({ minReplicas: 5 }) }
  const { samples } = answerOf(asked, resqueue(asked.spec, { ...asked, queue: 'mailers' })).run
  // Of 50 jobs 20 start at once.
  expect(Math.max(...samples.map(({ waiting }) => waiting))).toBe(30)
})

test('the plot of a trace of one second shows how its jobs are worked off and the pods go', () => {
  const asked = { ...question(jobs([0, 30])), slots: 1 }
  const answers = simulate(asked)
  for (const { run } of answers) expect(run.samples.at(-1)?.replicas).toBe(0)
  const svg = plot(asked, answers, 'one')
  expect(svg).toContain('>1 job · target 30 s · 1 slot a pod · ')
  const times = [...svg.matchAll(/>(\d+):(\d\d)</g)].map(
    ([, minutes, seconds]) => Number(minutes) * 60 + Number(seconds),
  )
  // KEDA goes to zero 300 s after it saw the job.
  expect(Math.max(...times)).toBeGreaterThanOrEqual(300)
  expect(svg.slice(svg.indexOf('>Replicas<'))).not.toContain('>0.5<')
})

test('a spec that goes without draining has busy pods killed', () => {
  const trace = jobs(...Array.from({ length: 400 }, (_, i): [number, number] => [i / 4, i % 40 === 0 ? 400 : 5]))
  const killed = (drain: boolean): number => {
    const model = resqueue(specOf({ scaleDown: { drain } }), { ...question(trace), queue: 'mailers' })
    return answerOf(question(trace), model).report.busyPodsKilled
  }
  expect(killed(true)).toBe(0)
  expect(killed(false)).toBeGreaterThan(0)
})
