import { text, type Option } from '../option.ts'
import { ResQueueError } from '../errors.ts'
import type { Item } from '../queue/match.ts'
import { pauseQueue, resumeQueue } from '../queue/pause.ts'
import { dequeue, listQueues, queueInfos, removeQueue } from '../queue/queues.ts'
import type { Store } from '../redis/store.ts'
import { integer } from '../values.ts'
import { plural } from '../wording.ts'
import { parseJson } from './json.ts'
import { nothing } from './mass.ts'
import { all, classFilter, limit, output, yes } from './options.ts'
import type { Column } from './output.ts'
import { peek } from './queuepeek.ts'
import { runningByQueue } from './running.ts'
import { age } from './text.ts'
import type { Context, Verb } from './verb.ts'

interface Row {
  readonly queue: string
  readonly waiting: number
  readonly latency_seconds: number | null
  readonly running: number
  readonly paused: boolean
  readonly next_class: string | null
}

const columns: readonly Column<Row>[] = [
  { title: 'QUEUE', of: (row) => row.queue },
  { title: 'WAITING', right: true, of: (row) => row.waiting },
  { title: 'LATENCY', right: true, of: (row) => age(row.latency_seconds) },
  { title: 'RUNNING', right: true, of: (row) => row.running },
  { title: 'PAUSED', of: (row) => (row.paused ? 'yes' : '') },
  { title: 'NEXT', of: (row) => row.next_class },
]

const peekLimit: Option<number> = {
  ...limit,
  fallback: 10,
  shown: '10',
  about: 'Show at most N, up to 1000.',
  read: integer({ min: 1, max: 1000 }),
}
const offset: Option<number> = {
  flag: 'offset',
  value: 'N',
  fallback: 0,
  shown: '0',
  about: 'Start N jobs from the head; negative: from the tail.',
  read: integer(),
}
const id: Option<string | undefined> = text('id', 'ID', 'Only the job with this id; with --class.')
const values: Option<unknown> = {
  flag: 'args',
  value: 'JSON',
  fallback: undefined,
  about: 'Only jobs whose first argument has no values but those of this object or list; with --class.',
  read: (text) => {
    const value = parseJson(text)
    if (typeof value !== 'object' || value === null)
      throw new ResQueueError('USAGE', 'it must be a JSON object or list')
    return value
  },
}

async function ls({ get, operands, output: out, store: open }: Context): Promise<number> {
  const store = await open()
  const found =
    operands.length > 0
      ? { queues: await queueInfos(store, operands), total: operands.length }
      : await listQueues(store, { limit: get(limit) })
  const running = await runningByQueue(store)
  const rows = found.queues.map((queue): Row => ({
    queue: queue.name,
    waiting: queue.size,
    latency_seconds: queue.latencySeconds ?? null,
    running: running.get(queue.name) ?? 0,
    paused: queue.paused,
    next_class: queue.nextClass ?? null,
  }))
  out.list(columns, rows)
  if (rows.length < found.total) out.note(`${rows.length} of ${found.total} queues; --limit 0 shows all`)
  return 0
}

async function pause({ operands, output: out, store: open }: Context): Promise<number> {
  const store = await open()
  const results: [string, unknown][] = []
  for (const queue of operands) {
    const changed = await pauseQueue(store, queue)
    results.push([`${queue}: ${changed ? 'paused' : 'was paused already'}`, { queue, paused: true, changed }])
  }
  out.each(results)
  const absent = await unregistered(store, operands)
  if (absent.length > 0) out.note(`${absent.join(', ')}: no such queue yet; jobs that are put into it will wait`)
  return 0
}

async function resume({ operands, output: out, store: open }: Context): Promise<number> {
  const store = await open()
  const results: [string, unknown][] = []
  for (const queue of operands) {
    const changed = await resumeQueue(store, queue)
    results.push([`${queue}: ${changed ? 'resumed' : 'was not paused'}`, { queue, paused: false, changed }])
  }
  out.each(results)
  return 0
}

/** Those that are not in the set of queues. */
async function unregistered(store: Store, queues: readonly string[]): Promise<readonly string[]> {
  const known = (await store.command('smismember', [store.keys.queues, ...queues])) as number[]
  return queues.filter((_, i) => known[i] === 0)
}

async function rm(context: Context): Promise<number> {
  const { operands, output: out, signal } = context
  const lane = await context.lane()
  const unknown = await unregistered(lane.store, operands)
  const infos = await queueInfos(lane.store, operands)
  const absent = infos.find(({ name, size }) => size === 0 && unknown.includes(name))
  if (absent) throw new ResQueueError('NOT_FOUND', `There is no queue ${absent.name}.`)
  const jobs = infos.reduce((sum, { size }) => sum + size, 0)
  if (
    !(await context.confirm(
      `Remove ${plural(operands.length, 'queue')} (${operands.join(', ')}) with ${plural(jobs, 'waiting job')}`,
    ))
  )
    return nothing(context)
  const results: [string, unknown][] = []
  for (const queue of operands) {
    if (signal.aborted) break
    const removed = await removeQueue(lane, queue, { signal })
    results.push([`${queue}: removed with ${plural(removed, 'job')}`, { queue, removed_jobs: removed }])
  }
  out.each(results)
  return 0
}

async function dequeueVerb(context: Context): Promise<number> {
  const { get, operands, output: out, signal } = context
  const queue = operands[0] as string
  const items = itemsOf(context)
  if (items.length === 0 && !get(all)) throw new ResQueueError('USAGE', 'say which jobs: --class NAME, or --all')
  if (items.length > 0 && get(all)) throw new ResQueueError('USAGE', '--all and --class exclude each other')
  if (
    !(await context.confirm(
      `Remove ${items.length === 0 ? 'all waiting jobs' : `waiting jobs of class ${get(classFilter)}`} from ${queue}`,
    ))
  )
    return nothing(context)
  const lane = await context.lane()
  const progress = context.progress('Removed')
  let removed = 0
  try {
    removed = await dequeue(lane, queue, items, {
      signal,
      progress: (done) => {
        removed = done
        progress.update(done)
      },
    })
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    progress.end()
  }
  out.done(`${plural(removed, 'job')} removed from ${queue}${signal.aborted ? '; interrupted' : ''}`, {
    queue,
    removed,
    interrupted: signal.aborted,
  })
  return removed > 0 ? 0 : 1
}

function itemsOf({ get }: Context): readonly Item[] {
  const [name, jobId, given] = [get(classFilter), get(id), get(values)]
  if (name === undefined) {
    if (jobId !== undefined || given !== undefined) throw new ResQueueError('USAGE', '--id and --args need --class')
    return []
  }
  if (jobId !== undefined && given !== undefined) throw new ResQueueError('USAGE', '--id and --args exclude each other')
  return [jobId !== undefined ? { [name]: jobId } : given === undefined ? name : { [name]: given as object }]
}

export const verbs: readonly Verb[] = [
  {
    name: 'ls',
    summary: 'list all queues, or those named, with their waiting and running jobs',
    operands: '[QUEUE…]',
    count: [0, Infinity],
    about:
      'LATENCY is how long the job at the head has waited; "-" where its producer records no time (Ruby Resque, node-resque) or nothing waits.',
    examples: ['queue ls', 'queue ls mail critical -o json'],
    options: [limit, output],
    redis: true,
    run: ls,
  },
  {
    name: 'peek',
    summary: 'show the jobs at the head of a queue; takes nothing',
    operands: 'QUEUE',
    count: [1, 1],
    examples: ['queue peek mail --limit 3', 'queue peek mail --offset -1 -o json'],
    options: [peekLimit, offset, output],
    redis: true,
    run: (context) => peek(context, context.get(peekLimit), context.get(offset)),
  },
  {
    name: 'pause',
    summary: 'pause queues, so that no more jobs are taken from them',
    operands: 'QUEUE…',
    count: [1, Infinity],
    about:
      "ResQueue's workers take no more jobs from a paused queue; jobs can still be enqueued. Workers of other programs do not know paused queues; `resqueue worker pause --all` stops those of Ruby Resque as well.",
    examples: ['queue pause mail'],
    options: [output],
    redis: true,
    run: pause,
  },
  {
    name: 'resume',
    summary: 'resume paused queues',
    operands: 'QUEUE…',
    count: [1, Infinity],
    examples: ['queue resume mail'],
    options: [output],
    redis: true,
    run: resume,
  },
  {
    name: 'rm',
    summary: 'remove queues and the jobs that wait in them',
    operands: 'QUEUE…',
    count: [1, Infinity],
    examples: ['queue rm old-mail --yes'],
    options: [yes, output],
    redis: true,
    run: rm,
  },
  {
    name: 'dequeue',
    summary: 'remove jobs from a queue',
    operands: 'QUEUE',
    count: [1, 1],
    examples: [
      `queue dequeue mail --class SendEmail --args '{"to":"ann@example.org"}' --yes`,
      'queue dequeue mail --all --yes',
    ],
    options: [classFilter, id, values, all, yes, output],
    redis: true,
    run: dequeueVerb,
  },
]
