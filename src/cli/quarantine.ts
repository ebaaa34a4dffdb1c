import { ResQueueError } from '../errors.ts'
import {
  listQuarantine,
  quarantineThatFits,
  releaseQuarantined,
  removeQuarantined,
  showQuarantined,
  type QuarantineEntry,
  type QuarantineSelection,
} from '../queue/quarantine.ts'
import { listFirst } from './listing.ts'
import { demandSelection, inTurn, massAction, oldestFirst } from './mass.ts'
import { all, dryRun, limit, most, output, queueFilter, yes } from './options.ts'
import type { Column } from './output.ts'
import { isoOf } from './text.ts'
import type { Context, Verb } from './verb.ts'

interface Row {
  readonly index: number
  readonly quarantined_at: string | null
  readonly queue: string
  readonly reason: string
  /** As it stood in the queue. */
  readonly payload: string
}

const columns: readonly Column<Row>[] = [
  { title: 'INDEX', right: true, of: (row) => row.index },
  { title: 'QUARANTINED AT', of: (row) => row.quarantined_at },
  { title: 'QUEUE', of: (row) => row.queue },
  { title: 'REASON', of: (row) => row.reason },
  { title: 'PAYLOAD', of: (row) => row.payload },
]

async function ls({ get, output: out, store: open, signal }: Context): Promise<number> {
  const store = await open()
  const queue = get(queueFilter)
  const found = quarantineThatFits(store, queue, signal)
  const { shown, more } = await listFirst(out, columns, found, get(limit), rowOf)
  if (more) {
    const ofAll = queue === undefined ? ` of ${(await listQuarantine(store, { limit: 1 })).total}` : ''
    out.note(`The first ${shown}${ofAll} payloads; --limit 0 shows all`)
  }
  return 0
}

async function show(context: Context): Promise<number> {
  const entry = await find(context, context.operands[0] as string)
  const row = rowOf(entry)
  context.output.show(
    [
      ['index', row.index],
      ['quarantined at', row.quarantined_at],
      ['queue', row.queue],
      ['reason', row.reason],
      ['payload', row.payload],
    ],
    row,
  )
  return 0
}

async function many(context: Context, verb: 'Release' | 'Remove'): Promise<number> {
  const { operands, get } = context
  const queue = get(queueFilter)
  if (operands.length > 0 && (queue !== undefined || get(all)))
    throw new ResQueueError('USAGE', 'name indexes, or filter, not both')
  if (operands.length === 0) demandSelection(context, queue !== undefined, 'INDEX, --queue')
  const lane = await context.lane()
  const named: QuarantineEntry[] = []
  for (const name of operands) named.push(await find(context, name))
  const act = verb === 'Release' ? releaseQuarantined : removeQuarantined
  const filter: QuarantineSelection = queue === undefined ? { all: true } : { queue }
  return massAction(context, {
    verb,
    done: verb === 'Release' ? 'released' : 'removed',
    what: 'quarantined payload',
    named: operands.length > 0,
    destroys: verb === 'Remove',
    act: (options) =>
      operands.length > 0
        ? oldestFirst(named, options, ({ index, sha }, rest) => act(lane, { index, sha }, rest))
        : inTurn([filter], options, (selection, rest) => act(lane, selection, rest)),
  })
}

async function find(context: Context, name: string): Promise<QuarantineEntry> {
  if (!/^\d{1,9}$/.test(name))
    throw new ResQueueError('USAGE', `"${name}" is not an index; resqueue quarantine ls shows them`)
  const entry = await showQuarantined(await context.store(), Number(name))
  if (!entry) throw new ResQueueError('NOT_FOUND', `There is nothing in quarantine at index ${name}.`)
  return entry
}

function rowOf(entry: QuarantineEntry): Row {
  return {
    index: entry.index,
    quarantined_at: isoOf(entry.quarantinedAt),
    queue: entry.queue,
    reason: entry.reason,
    payload: entry.raw,
  }
}

export const verbs: readonly Verb[] = [
  {
    name: 'ls',
    summary: 'list payloads that cannot be jobs, the oldest first',
    operands: '',
    count: [0, 0],
    examples: ['quarantine ls', 'quarantine ls --queue mail -o json'],
    options: [queueFilter, limit, output],
    redis: true,
    run: ls,
  },
  {
    name: 'show',
    summary: 'show one payload in full',
    operands: 'INDEX',
    count: [1, 1],
    examples: ['quarantine show 0'],
    options: [output],
    redis: true,
    run: show,
  },
  {
    name: 'release',
    summary: 'put payloads back into their queues',
    operands: '[INDEX…]',
    count: [0, Infinity],
    about:
      'Moves them, byte for byte, to the tails of the queues they came from, the oldest first: for workers of other programs, or after an upgrade. A ResQueue worker that still cannot read one quarantines it again.',
    examples: ['quarantine release 0', 'quarantine release --queue mail --yes'],
    options: [queueFilter, most, all, dryRun, yes, output],
    redis: true,
    run: (context) => many(context, 'Release'),
  },
  {
    name: 'rm',
    summary: 'remove payloads for good',
    operands: '[INDEX…]',
    count: [0, Infinity],
    examples: ['quarantine rm 0 --yes', 'quarantine rm --all --yes'],
    options: [queueFilter, most, all, dryRun, yes, output],
    redis: true,
    run: (context) => many(context, 'Remove'),
  },
]
