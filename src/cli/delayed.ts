import type { Option } from '../option.ts'
import { defined } from '../defined.ts'
import { ResQueueError } from '../errors.ts'
import { delayedJobs, removeDelayed, type DelayedFilter, type DelayedJob } from '../queue/delayed.ts'
import { moment } from '../values.ts'
import { parseJson } from './json.ts'
import { listFirst } from './listing.ts'
import { demandSelection, massAction } from './mass.ts'
import { all, classFilter, dryRun, idFilter, limit, most, output, queueFilter, yes } from './options.ts'
import type { Column } from './output.ts'
import { isoOf } from './text.ts'
import type { Context, Verb } from './verb.ts'

interface Row {
  readonly due_at: string | null
  readonly queue: string
  readonly class: string | null
  readonly id: string | null
  /** As it stands in Redis. */
  readonly payload: string
}

const columns: readonly Column<Row & { readonly args: string }>[] = [
  { title: 'DUE AT', of: (row) => row.due_at },
  { title: 'QUEUE', of: (row) => row.queue },
  { title: 'CLASS', of: (row) => row.class },
  { title: 'ID', of: (row) => row.id },
  { title: 'ARGS', of: (row) => row.args },
]

const due: Option<number | undefined> = {
  flag: 'at',
  value: 'TIME',
  fallback: undefined,
  about: 'Only jobs that are due at this second.',
  read: moment,
}
const args: Option<readonly unknown[] | undefined> = {
  flag: 'args',
  value: 'JSON',
  fallback: undefined,
  about: 'Only jobs with exactly this list of arguments.',
  read: (text) => {
    const value = parseJson(text)
    if (!Array.isArray(value)) throw new ResQueueError('USAGE', 'it must be a JSON list')
    return value
  },
}

async function ls(context: Context): Promise<number> {
  const { get, output: out, signal } = context
  const found = delayedJobs(await context.store(), filterOf(context), signal)
  const { shown, more } = out.json
    ? await listFirst(out, [], found, get(limit), rowOf)
    : await listFirst(out, columns, found, get(limit), (job) => ({
        ...rowOf(job),
        args: job.payload ? JSON.stringify(job.payload.args) : job.raw,
      }))
  if (more) out.note(`The first ${shown} delayed jobs; --limit 0 shows all`)
  return 0
}

async function rm(context: Context): Promise<number> {
  const filter = filterOf(context)
  demandSelection(context, Object.keys(filter).length > 0, '--queue, --class, --id, --args, --at')
  const lane = await context.lane()
  return massAction(context, {
    verb: 'Remove',
    done: 'removed',
    what: 'delayed job',
    named: false,
    destroys: true,
    act: async (options) => ({
      moved: await removeDelayed(lane, { ...filter, all: context.get(all) }, options),
      skipped: 0,
    }),
  })
}

function filterOf({ get }: Context): DelayedFilter {
  const at = get(due)
  return defined({
    queue: get(queueFilter),
    class: get(classFilter),
    id: get(idFilter),
    args: get(args),
    at: at === undefined ? undefined : Math.ceil(at / 1000),
  })
}

function rowOf({ at, queue, payload, raw }: DelayedJob): Row {
  return {
    due_at: isoOf(at),
    queue,
    class: payload?.class ?? null,
    id: payload?.id || null,
    payload: raw,
  }
}

const filters = [queueFilter, classFilter, idFilter, args, due]

export const verbs: readonly Verb[] = [
  {
    name: 'ls',
    summary: 'list delayed jobs, the next one first',
    operands: '',
    count: [0, 0],
    examples: ['delayed ls', 'delayed ls --queue reports -o json'],
    options: [...filters, limit, output],
    redis: true,
    run: ls,
  },
  {
    name: 'rm',
    summary: 'remove delayed jobs',
    operands: '',
    count: [0, 0],
    about: 'Finds the delayed jobs of every program of the Resque family, whatever the order of their fields.',
    examples: [`delayed rm --class Monthly --args '["2030-01",12]' --yes`, 'delayed rm --queue reports --dry-run'],
    options: [...filters, most, all, dryRun, yes, output],
    redis: true,
    run: rm,
  },
]
