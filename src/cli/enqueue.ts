import { text, type Option } from '../option.ts'
import { defined } from '../defined.ts'
import { ResQueueError } from '../errors.ts'
import { isObject } from '../json.ts'
import type { EnqueueOptions } from '../queue/enqueue.ts'
import { duration, words, yesNo } from '../values.ts'
import { enqueueFrom } from './enqueuefrom.ts'
import { parseJson } from './json.ts'
import { at, inTime, output, prefix } from './options.ts'
import type { Context, Verb } from './verb.ts'

const track: Option<boolean> = {
  flag: 'track',
  fallback: false,
  about: 'Keep a status, for `resqueue job show`.',
  read: yesNo,
}

const id: Option<string | undefined> = {
  flag: 'id',
  value: 'ID',
  fallback: undefined,
  shown: 'a fresh one',
  about: "The job's id.",
  read: words,
}

const retry: Option<EnqueueOptions['retry']> = {
  flag: 'retry',
  value: 'N|JSON',
  fallback: undefined,
  about:
    'Attempts in all (1: no retry), or {"attempts":5,"delays":[1,10,60]} in seconds. Overrides the definition of the job.',
  read: (text) => {
    const value = parseJson(text)
    if (typeof value === 'number' || isObject(value)) return value as EnqueueOptions['retry']
    throw new ResQueueError('USAGE', `"${text}" is neither a number nor a JSON object`)
  },
}

const timeout: Option<number | undefined> = {
  flag: 'timeout',
  value: 'TIME',
  fallback: undefined,
  about: 'How long the job may run: 90 (seconds), 5m. Overrides the definition of the job.',
  read: duration({ min: 1 }),
}

const from: Option<string | undefined> = text(
  'from',
  'FILE',
  'Enqueue one job per line of an NDJSON file; - reads standard input.',
)

async function enqueue(context: Context): Promise<number> {
  const { operands, get, output: out } = context
  const [queue, name, ...texts] = operands
  const file = get(from)
  const options = optionsOf(context)
  for (const text of [...operands, options.id, options.prefix]) checkText(text)
  if (file !== undefined) {
    if (texts.length > 0) throw new ResQueueError('USAGE', 'with --from the arguments stand in the file')
    if (options.id !== undefined) throw new ResQueueError('USAGE', 'with --from each line has its own "id"')
    return enqueueFrom(context, file, {
      ...options,
      ...defined({ queue, class: name }),
    })
  }
  if (queue === undefined || name === undefined)
    throw new ResQueueError('USAGE', 'something is missing: resqueue enqueue QUEUE CLASS [ARG…]')
  const args = texts.map((text, i) => argument(text, i + 1))
  const given = await (await context.client()).enqueue({ ...options, queue, class: name, args })
  if (out.json) out.done('', { id: given, queue })
  else out.line(String(given))
  return 0
}

function optionsOf({ get }: Context): EnqueueOptions {
  const [atMs, inMs, timeoutMs] = [get(at), get(inTime), get(timeout)]
  if (atMs !== undefined && inMs !== undefined) throw new ResQueueError('USAGE', 'give either --at or --in, not both')
  return defined({
    track: get(track) || undefined,
    id: get(id),
    prefix: get(prefix),
    at: atMs === undefined ? undefined : new Date(atMs),
    in: inMs === undefined ? undefined : inMs / 1000,
    retry: get(retry),
    timeout: timeoutMs === undefined ? undefined : timeoutMs / 1000,
  })
}

/** Node has put U+FFFD where a word of the command line is not UTF-8. */
function checkText(text: string | undefined): void {
  if (text?.includes('\ufffd'))
    throw new ResQueueError('USAGE', `"${text}" is not UTF-8; where U+FFFD is meant, an argument may say \\ufffd`)
}

function argument(text: string, position: number): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    const hint = /^[a-z_][\w .@/+-]*$/i.test(text) ? `; a string is written '"${text}"'` : ''
    throw new ResQueueError('USAGE', `argument ${position} (${text}): ${(error as Error).message}${hint}`, {
      cause: error,
    })
  }
}

export const verbs: readonly Verb[] = [
  {
    name: '',
    summary: 'put jobs into a queue',
    operands: 'QUEUE CLASS [ARG…]',
    count: [0, Infinity],
    about: `Each ARG is JSON and becomes one positional argument; PHP workers read only the first, which must be an object. Prints the job's id. With --from, each line is {"queue","class","args",…} with track, prefix, id, at, in, retry and timeout as further fields; QUEUE and CLASS are the defaults of lines without them. A file is checked as a whole before its first job is enqueued; standard input is enqueued as it arrives.`,
    examples: [
      `enqueue mail SendEmail '{"to":"ann@example.org"}' --track`,
      `enqueue reports Monthly '"2030-01"' 12 --in 2h --retry 3`,
      'enqueue mail SendEmail --from jobs.ndjson',
      `enqueue numbers Add -- 1 -2`,
    ],
    options: [track, id, prefix, at, inTime, retry, timeout, from, output],
    redis: true,
    run: enqueue,
  },
]
