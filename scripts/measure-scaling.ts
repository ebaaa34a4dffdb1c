import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { resqueue } from '../src/controller/simulate/models.ts'
import { answerOf, type Question } from '../src/controller/simulate/simulate.ts'
import { dearestAllowed } from '../test/support/prices.ts'
import { specOf } from '../test/support/scaler.ts'
import { loadOf, MAX_REPLICAS, steadyHour, type Case } from './scaling-loads.ts'

// What the scaler does with many generated loads, beside KEDA and the HPA: docs/scaling.md has the figures.
//
//   node scripts/measure-scaling.ts [loads 840] [steady hours 420]

const [loads, hours] = [840, 420].map((fallback, i) => Number(process.argv[2 + i] ?? fallback)) as [number, number]

/** `known hour`: a controller that has served these jobs before. */
type Kind = 'load' | 'hour' | 'known hour'

interface Result {
  readonly kind: Kind
  readonly name: string
  readonly share: number
  readonly killed: number
  readonly changes: number
  /** Pod minutes, as a part of what they may be at most; `null`: nothing can be compared. */
  readonly factor: number | null
}

function resultOf(kind: Kind, { name, slots, trace }: Case): Result {
  const spec = specOf({ slotsPerReplica: slots, maxReplicas: MAX_REPLICAS })
  const serviceSeconds = kind === 'known hour' ? (trace.serviceSeconds[0] ?? null) : null
  const question: Question = { trace, spec, slots, podStartSeconds: 20, serviceSeconds }
  const { report } = answerOf(question, resqueue(spec, { ...question, queue: 'mailers' }))
  const { startedWithinTarget: share, podMinutes, busyPodsKilled: killed, changes } = report
  const most = kind === 'load' ? dearestAllowed(question, share) : Infinity
  return { kind, name, share, killed, changes, factor: Number.isFinite(most) ? podMinutes / most : null }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

function report(results: readonly Result[]): void {
  const ofLoads = results.filter(({ kind }) => kind === 'load')
  const late = ofLoads.filter(({ share }) => share < 0.995)
  for (const { name, share } of late) say(`late      ${(100 * share).toFixed(2)} %  ${name}`)
  const bounded = ofLoads.flatMap(({ name, factor }) => (factor === null ? [] : [{ name, factor }]))
  const dear = bounded.filter(({ factor }) => factor > 1).sort((a, b) => b.factor - a.factor)
  for (const { name, factor } of dear) say(`dear      ${factor.toFixed(2)} ×  ${name}`)
  const [firstHours, knownHours] = (['hour', 'known hour'] as const).map((kind) => {
    const hours = results.filter((result) => result.kind === kind)
    const restless = hours.filter(({ changes }) => changes > 4).sort((a, b) => b.changes - a.changes)
    for (const { name, changes } of restless) say(`restless  ${changes} changes  ${kind} ${name}`)
    return `${hours.length - restless.length} of ${hours.length}`
  })
  say(`99.5 % in time: ${ofLoads.length - late.length} of ${ofLoads.length} loads`)
  say(`no dearer than others: ${bounded.length - dear.length} of ${bounded.length} loads`)
  say(`busy pods killed: ${results.reduce((sum, { killed }) => sum + killed, 0)}`)
  say(`at most 4 changes: ${firstHours} steady hours, ${knownHours} where the jobs are known`)
}

/** What one of several processes does: each its part, as long as there is somebody to tell. */
async function work(first: number, step: number): Promise<void> {
  for (let i = first; i < loads; i += step) {
    const load = loadOf(i)
    // Of a short burst of long jobs there may be none at all.
    if (load.trace.arrivedAt.length > 0) await tell(resultOf('load', load))
  }
  for (let i = first; i < hours; i += step) {
    const hour = steadyHour(i)
    await tell(resultOf('hour', hour))
    await tell(resultOf('known hour', hour))
  }
}

function tell(result: Result): Promise<void> {
  return new Promise((resolve) => process.send?.(result, (error) => (error ? process.exit(1) : resolve())))
}

async function main(): Promise<void> {
  const parts = availableParallelism()
  const results: Result[] = []
  await Promise.all(
    Array.from({ length: parts }, (_, number) => {
      const part = fork(import.meta.filename, [loads, hours, number, parts].map(String))
      part.on('message', (result: Result) => results.push(result))
      return new Promise<void>((resolve, reject) => {
        part.on('error', reject)
        part.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`a part ended with ${code}`))))
      })
    }),
  )
  report(results.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true })))
}

const [first, step] = process.argv.slice(4).map(Number)
if (first !== undefined && step !== undefined) await work(first, step)
else await main()
