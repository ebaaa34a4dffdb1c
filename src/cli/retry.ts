import { defined } from '../defined.ts'
import { ResQueueError } from '../errors.ts'
import { countRetries, removeRetries, retriesThatFit, type RetryEntry, type RetryFilter } from '../queue/retries.ts'
import { listFirst } from './listing.ts'
import { demandSelection, massAction } from './mass.ts'
import { all, classFilter, dryRun, idFilter, limit, most, output, queueFilter, yes } from './options.ts'
import type { Column } from './output.ts'
import { isoOf } from './text.ts'
import type { Context, Verb } from './verb.ts'

interface Row {
  /** Names the entry: the claim of the attempt that failed. */
  readonly claim: string
  readonly due_at: string | null
  readonly attempt: number
  readonly queue: string
  readonly class: string | null
  readonly id: string | null
  readonly error: string
  readonly payload: string
}

const columns: readonly Column<Row>[] = [
  { title: 'CLAIM', of: (row) => row.claim },
  { title: 'DUE AT', of: (row) => row.due_at },
  { title: 'ATTEMPT', right: true, of: (row) => row.attempt },
  { title: 'QUEUE', of: (row) => row.queue },
  { title: 'CLASS', of: (row) => row.class },
  { title: 'ID', of: (row) => row.id },
  { title: 'ERROR', of: (row) => row.error },
]

async function ls(context: Context): Promise<number> {
  const { get, output: out, signal } = context
  const store = await context.store()
  const filter = filterOf(context)
  const found = retriesThatFit(store, filter, signal)
  const { shown, more } = await listFirst(out, columns, found, get(limit), rowOf)
  if (more) {
    const ofAll = Object.keys(filter).length === 0 ? ` of ${await countRetries(store)}` : ''
    out.note(`The first ${shown}${ofAll} retries; --limit 0 shows all`)
  }
  return 0
}

async function rm(context: Context): Promise<number> {
  const { operands, get } = context
  const filter = filterOf(context)
  const filtered = Object.keys(filter).length > 0
  if (operands.length > 0 && (filtered || get(all)))
    throw new ResQueueError('USAGE', 'name claims, or filter, not both')
  if (operands.length === 0) demandSelection(context, filtered, 'CLAIM, --queue, --class, --id')
  const lane = await context.lane()
  // All that are named together: each would be looked for among all retries.
  const chosen = operands.length > 0 ? { claim: operands } : { ...filter, all: get(all) }
  return massAction(context, {
    verb: 'Remove',
    done: 'removed',
    what: 'retry',
    many: 'retries',
    named: operands.length > 0,
    destroys: true,
    act: async (options) => ({ moved: await removeRetries(lane, chosen, options), skipped: 0 }),
  })
}

function filterOf({ get }: Context): RetryFilter {
  return defined({ queue: get(queueFilter), class: get(classFilter), id: get(idFilter) })
}

function rowOf(entry: RetryEntry): Row {
  const { payload } = entry
  return {
    claim: entry.claim,
    due_at: isoOf(entry.dueAt),
    attempt: entry.attempt,
    queue: entry.queue,
    class: payload?.class ?? null,
    id: payload?.id || null,
    error: entry.error,
    payload: entry.raw,
  }
}

export const verbs: readonly Verb[] = [
  {
    name: 'ls',
    summary: 'list jobs that failed and wait for their next attempt, the next one first',
    operands: '',
    count: [0, 0],
    about: 'ATTEMPT is the number of attempts so far.',
    examples: ['retry ls', 'retry ls --class SendEmail -o json'],
    options: [queueFilter, classFilter, idFilter, limit, output],
    redis: true,
    run: ls,
  },
  {
    name: 'rm',
    summary: 'remove jobs that wait for their next attempt; they do not run again',
    operands: '[CLAIM…]',
    count: [0, Infinity],
    about: 'CLAIM is what `retry ls` shows; it names one attempt of one job.',
    examples: ['retry rm --class SendEmail --yes', 'retry rm 3f2a90c1d7e4.17 --yes'],
    options: [queueFilter, classFilter, idFilter, most, all, dryRun, yes, output],
    redis: true,
    run: rm,
  },
]
