import { readFileSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { plot } from '../controller/simulate/plot.ts'
import type { ModelReport } from '../controller/simulate/report.ts'
import { readScalerFile } from '../controller/simulate/scalerfile.ts'
import { simulate as simulateTrace, targetOf } from '../controller/simulate/simulate.ts'
import { readTrace } from '../controller/simulate/trace.ts'
import { messageOf, ResQueueError } from '../errors.ts'
import { text, type Option } from '../option.ts'
import { duration, integer } from '../values.ts'
import { count, plural } from '../wording.ts'
import { output } from './options.ts'
import type { Column } from './output.ts'
import { age } from './text.ts'
import type { Context, Verb } from './verb.ts'

const trace: Option<string | undefined> = text(
  'trace',
  'FILE',
  'CSV with the header second,arrivals,service_seconds. Required.',
)

const spec: Option<string | undefined> = text('spec', 'FILE', 'YAML with a WorkerScaler. Required.')

const slots: Option<number> = {
  flag: 'slots',
  value: 'N',
  fallback: 4,
  shown: "the spec's slotsPerReplica, else 4",
  about: 'Jobs that a pod runs at once.',
  read: integer({ min: 1, max: 512 }),
}

const podStart: Option<number> = {
  flag: 'pod-start',
  value: 'TIME',
  fallback: 20_000,
  shown: '20s',
  about: 'Time from the creation of a pod until it takes jobs.',
  read: duration({ min: 0, max: 600_000 }),
}

const plotFile: Option<string | undefined> = text(
  'plot',
  'FILE',
  'Also draw arrivals, backlog, wait and replicas over time into this SVG file.',
)

async function simulate({ get, given, output: out }: Context): Promise<number> {
  const { spec: wanted, status } = readScalerFile(read(spec, get(spec)), get(spec) as string)
  const jobs = readTrace(read(trace, get(trace)), get(trace) as string)
  const question = {
    trace: jobs,
    spec: wanted,
    slots: given(slots) ? get(slots) : (wanted.slotsPerReplica ?? get(slots)),
    podStartSeconds: get(podStart) / 1000,
    serviceSeconds: status.serviceSeconds ?? null,
  }
  const answers = simulateTrace(question)
  const { seconds } = targetOf(wanted)
  out.list(
    columnsFor(seconds),
    answers.map(({ report }) => report),
  )
  const path = get(plotFile)
  if (path !== undefined) write(path, plot(question, answers, basename(get(trace) as string)))
  if (!out.json) {
    out.note(
      `${plural(jobs.arrivedAt.length, 'job')} over ${age(jobs.seconds)}; ${plural(question.slots, 'slot')} a pod, ${age(question.podStartSeconds)} until a pod works`,
    )
  }
  return 0
}

function columnsFor(seconds: number): readonly Column<ModelReport>[] {
  const waited = (p: keyof ModelReport['waitSeconds']): Column<ModelReport> => ({
    title: p,
    right: true,
    of: ({ waitSeconds }) => age(waitSeconds[p]),
  })
  return [
    { title: 'model', of: ({ model }) => model },
    { title: 'depth', right: true, of: ({ depthTarget }) => depthTarget },
    { title: `within ${age(seconds)}`, right: true, of: ({ startedWithinTarget }) => percent(startedWithinTarget) },
    waited('p50'),
    waited('p95'),
    waited('p99'),
    waited('max'),
    { title: 'pod minutes', right: true, of: ({ podMinutes }) => count(Math.round(podMinutes)) },
    { title: 'changes', right: true, of: ({ changes }) => changes },
    { title: 'busy pods killed', right: true, of: ({ busyPodsKilled }) => busyPodsKilled },
    { title: 'never started', right: true, of: ({ neverStarted }) => neverStarted ?? 0 },
  ]
}

/** Never rounded up to a whole. */
function percent(share: number): string {
  return `${(Math.floor(share * 10_000) / 100).toFixed(2)} %`
}

function read(option: Option<string | undefined>, path: string | undefined): string {
  if (path === undefined) throw new ResQueueError('USAGE', `--${option.flag} FILE is missing`)
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ResQueueError('CONFIG', `--${option.flag}: ${path} cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

function write(path: string, svg: string): void {
  try {
    writeFileSync(path, svg)
  } catch (error) {
    throw new ResQueueError('CONFIG', `--plot: ${path} cannot be written: ${messageOf(error)}`, { cause: error })
  }
}

export const verbs: readonly Verb[] = [
  {
    name: '',
    summary: 'try a WorkerScaler on a recorded load, beside models of KEDA and the HPA',
    operands: '',
    count: [0, 0],
    about:
      'Runs the decisions of the controller against a trace of jobs, without a cluster or a Redis, beside models of KEDA and the HorizontalPodAutoscaler: with their defaults, and with the depth target that suits the trace best. Shows how many jobs start in time and what the pods cost.',
    examples: [
      'simulate --trace examples/traces/step.csv --spec examples/scalers/mailers.yaml',
      'simulate --trace trace.csv --spec scaler.yaml --slots 8 --pod-start 45s --plot plot.svg -o json',
    ],
    options: [trace, spec, slots, podStart, plotFile, output],
    redis: false,
    run: simulate,
  },
]
