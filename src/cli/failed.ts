import { text, type Option } from '../option.ts'
import { defined } from '../defined.ts'
import { ResQueueError } from '../errors.ts'
import {
  countFailed,
  failedQueues,
  failedThatFit,
  showFailed,
  type FailedEntry,
  type FailedFilter,
  type FailedList,
  type FailedQuery,
} from '../queue/failed.ts'
import { removeFailed, retryFailed, type FailedSelection } from '../queue/failedmoves.ts'
import type { Moved, MoveOptions } from '../queue/moves.ts'
import type { Lane } from '../queue/lane.ts'
import type { Store } from '../redis/store.ts'
import { some } from '../wording.ts'
import { listFirst } from './listing.ts'
import { failedDetails, failedRow, type FailedRow } from './failedrows.ts'
import { demandSelection, inTurn, massAction, oldestFirst, type Place } from './mass.ts'
import {
  all,
  classFilter,
  dryRun,
  errorFilter,
  limit,
  most,
  output,
  queueFilter,
  sinceFilter,
  untilFilter,
  yes,
} from './options.ts'
import type { Column } from './output.ts'
import type { Context, Verb } from './verb.ts'

const listOption: Option<string | undefined> = text(
  'list',
  'QUEUE',
  'The failed list of this queue alone, as --failure-backend multi-queue keeps them; default: the common one.',
)

const columns: readonly Column<FailedRow>[] = [
  { title: 'INDEX', right: true, of: (row) => row.index },
  { title: 'FAILED AT', of: (row) => row.failed_at },
  { title: 'QUEUE', of: (row) => row.queue },
  { title: 'CLASS', of: (row) => row.class },
  { title: 'ID', of: (row) => row.id },
  { title: 'EXCEPTION', of: (row) => row.exception },
  { title: 'ERROR', of: (row) => row.error },
]

function listOf({ get }: Context): FailedList {
  return defined({ listOf: get(listOption) })
}

function filterOf({ get }: Context): FailedFilter {
  const [since, until] = [get(sinceFilter), get(untilFilter)]
  return defined({
    queue: get(queueFilter),
    class: get(classFilter),
    error: get(errorFilter),
    since: since === undefined ? undefined : new Date(since),
    until: until === undefined ? undefined : new Date(until),
  })
}

async function ls(context: Context): Promise<number> {
  const { get, output: out } = context
  const store = await context.store()
  const filter = filterOf(context)
  const query: FailedQuery = { ...listOf(context), ...filter }
  const wanted = get(limit)
  // One more than is shown tells whether there are more.
  const found = failedThatFit(store, { ...query, limit: wanted + 1 }, context.signal)
  const { shown, more } = await listFirst(out, columns, found, wanted, failedRow)
  const hint = shown === 0 ? await elsewhere(store, query) : ''
  if (hint !== '') out.note(hint)
  if (more) {
    const ofAll = Object.keys(filter).length === 0 ? ` of ${await countFailed(store, query)}` : ''
    out.note(`The newest ${shown}${ofAll} failed jobs; --limit 0 shows all`)
  }
  return 0
}

async function show(context: Context): Promise<number> {
  const entry = await find(context, context.operands[0] as string)
  context.output.show(failedDetails(entry), {
    ...failedRow(entry),
    backtrace: entry.backtrace,
    stderr: entry.stderr ?? null,
    payload: entry.fields?.['payload'] ?? null,
    entry: entry.text,
  })
  return 0
}

/** An entry by its index or by the id of its job. */
async function find(context: Context, name: string): Promise<FailedEntry> {
  const store = await context.store()
  const list = listOf(context)
  const index = indexOf(name)
  if (index !== undefined) {
    const entry = await showFailed(store, index, list)
    if (entry) return entry
    throw await notFound(store, list, `There is no failed job at index ${name}.`)
  }
  for await (const entry of failedThatFit(store, { ...list, id: name, limit: 1 }, context.signal)) return entry
  throw await notFound(store, list, `There is no failed job with the id ${name}.`)
}

async function notFound(store: Store, list: FailedList, text: string): Promise<ResQueueError> {
  const hint = await elsewhere(store, list)
  return new ResQueueError('NOT_FOUND', hint === '' ? text : `${text} ${hint}`)
}

/** What to say of the other lists where only the common one was looked at. */
async function elsewhere(store: Store, { listOf: queue }: FailedList): Promise<string> {
  const queues = queue === undefined ? await failedQueues(store) : []
  if (queues.length === 0) return ''
  return `Some queues have a failed list of their own; --list names it: ${some(queues, 5)}`
}

type Act = (lane: Lane, selection: FailedSelection, options: MoveOptions) => Promise<Moved | number>

async function many(context: Context, verb: 'Retry' | 'Remove', act: Act): Promise<number> {
  const { operands, get } = context
  const filter = filterOf(context)
  const filtered = Object.keys(filter).length > 0
  if (operands.length > 0 && (filtered || get(all))) throw new ResQueueError('USAGE', 'name jobs, or filter, not both')
  if (operands.length === 0)
    demandSelection(context, filtered, 'INDEX or ID, --queue, --class, --error, --since, --until')
  const lane = await context.lane()
  const list = listOf(context)
  const named: (Place & { readonly id?: string })[] = []
  for (const name of operands) {
    const { index, sha } = await find(context, name)
    named.push({ index, sha, ...(indexOf(name) === undefined ? { id: name } : {}) })
  }
  return massAction(context, {
    verb,
    done: verb === 'Retry' ? 'retried' : 'removed',
    what: 'failed job',
    named: operands.length > 0,
    destroys: verb === 'Remove',
    act: (options) =>
      operands.length > 0
        ? // What was named by its id is meant wherever it stands by then.
          oldestFirst(named, options, ({ index, sha, id }, rest) =>
            id === undefined
              ? act(lane, { ...list, index, sha }, rest)
              : act(lane, { ...list, id, sha }, { ...rest, limit: 1 }),
          )
        : inTurn([{ ...list, ...filter, all: get(all) }], options, (selection, rest) => act(lane, selection, rest)),
  })
}

/** A short number is an index; ids are longer or hold letters. */
function indexOf(name: string): number | undefined {
  return /^\d{1,9}$/.test(name) ? Number(name) : undefined
}

const filters = [queueFilter, classFilter, errorFilter, sinceFilter, untilFilter]

export const verbs: readonly Verb[] = [
  {
    name: 'ls',
    summary: 'list failed jobs, the newest first',
    operands: '',
    count: [0, 0],
    examples: ['failed ls --class SendEmail --since 1h', 'failed ls --error timeout -o json'],
    options: [...filters, limit, listOption, output],
    redis: true,
    run: ls,
  },
  {
    name: 'show',
    summary: 'show one failed job, with its backtrace',
    operands: 'INDEX|ID',
    count: [1, 1],
    examples: ['failed show 17', 'failed show 4ef89c99c036da6022cf926be7ec3edd -o json'],
    options: [listOption, output],
    redis: true,
    run: show,
  },
  {
    name: 'retry',
    summary: 'put failed jobs back into their queues',
    operands: '[INDEX|ID…]',
    count: [0, Infinity],
    about:
      'Moves each payload, byte for byte, to the tail of its queue and removes the entry, in one step: no job is lost or doubled, also when several people do this at once. The oldest go first. INDEX and ID are what `failed ls` shows; an index shifts when earlier entries are removed, an id does not.',
    examples: ['failed retry 17', 'failed retry --class SendEmail --since 1h --yes', 'failed retry --all --dry-run'],
    options: [...filters, most, all, listOption, dryRun, yes, output],
    redis: true,
    run: (context) => many(context, 'Retry', retryFailed),
  },
  {
    name: 'rm',
    summary: 'remove failed jobs for good',
    operands: '[INDEX|ID…]',
    count: [0, Infinity],
    examples: ['failed rm --until 30d --dry-run', 'failed rm --all --yes'],
    options: [...filters, most, all, listOption, dryRun, yes, output],
    redis: true,
    run: (context) => many(context, 'Remove', removeFailed),
  },
]
