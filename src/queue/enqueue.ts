import { setImmediate as breathe } from 'node:timers/promises'
import { ResQueueError, messageOf } from '../errors.ts'
import { statusName } from '../redis/keys.ts'
import { checkSeconds, type RetryOption } from '../retry.ts'
import { encodePayload, newId } from './encode.ts'
import { DoNotCreate, type ClientEvents, type Events } from './events.ts'
import { encodeExtras } from './extras.ts'
import type { JobRef, ParamsOf } from './jobref.ts'
import { MAX_CHARS, MAX_ITEMS, type Outgoing, type Producer } from './producer.ts'

/** Options of one enqueue. */
export interface EnqueueOptions {
  /** Keep a status that `status(id)` reads (R6). Default false. */
  readonly track?: boolean
  /** php-resque's prefix of the status key (R10). Default none. */
  readonly prefix?: string
  /** The job's id. Default a fresh one (R3). */
  readonly id?: string
  /** Not before this time: a Date, or whole Unix seconds (R69). */
  readonly at?: Date | number
  /** Not before this many seconds from now. */
  readonly in?: number
  /** Overrides the job's own retry policy. */
  readonly retry?: RetryOption
  /** Overrides the job's own timeout, in seconds. */
  readonly timeout?: number
}

/**
 * A job with a list of positional arguments, as Ruby Resque has them; `args` goes into the payload as it is. It may be
 * left out, for `[]`, where the job can do without arguments.
 */
export type JobRequest<J extends JobRef = JobRef> = J extends unknown
  ? EnqueueOptions & { readonly queue: string; readonly class: J } & ([] extends ParamsOf<J>
        ? { readonly args?: ParamsOf<J> }
        : { readonly args: ParamsOf<J> })
  : never

/**
 * A request whose arguments are those that its job takes. Of a list whose length the compiler does not know (one built
 * in a callback), each element must be one of them.
 */
export type Checked<R> = R extends { readonly class: infer J extends JobRef }
  ? R extends { readonly args: infer A extends readonly unknown[] }
    ? number extends A['length']
      ? Omit<JobRequest, 'args'> & { readonly args: readonly ParamsOf<J>[number][] }
      : JobRequest<J>
    : JobRequest<J>
  : never

/** What a request may say. */
export const FIELDS: ReadonlySet<string> = new Set<keyof JobRequest>([
  'queue',
  'class',
  'args',
  'track',
  'prefix',
  'id',
  'at',
  'in',
  'retry',
  'timeout',
])

/** What enqueueing needs of a client. */
export interface Enqueuer {
  readonly producer: Producer
  readonly events: Events<ClientEvents>
}

/** Options of one bulk enqueue. */
export interface BulkOptions {
  /** Told after each call to Redis how many items are done. */
  readonly progress?: (done: number, total: number) => void
  /** Stops before the next call to Redis. */
  readonly signal?: AbortSignal
}

/** A job that is ready to be sent. */
export interface Prepared extends Outgoing {
  readonly job: string
  /** The arguments as the caller gave them: what listeners are told. */
  readonly args: unknown
}

/** Enqueues one job; see `ResQueue.enqueue`. */
export async function enqueue(
  enqueuer: Enqueuer,
  request: JobRequest,
  given: unknown = request.args ?? [],
): Promise<string | false> {
  return submit(enqueuer, prepare(request, given))
}

/** Sends one job, listeners included. Returns its id, or false where a listener vetoed. */
export async function submit(enqueuer: Enqueuer, prepared: Prepared): Promise<string | false> {
  const { producer, events } = enqueuer
  // Where nobody listens, nothing is waited for but Redis: each wait costs a tenth of all that an enqueue does.
  if (events.has('beforeEnqueue') && !(await allowed(enqueuer, prepared))) return false
  await producer.push([prepared])
  if (isHeard(events)) await tell(enqueuer, prepared)
  return prepared.id
}

/**
 * Enqueues many jobs, a thousand in a call. Everything is built and checked before the first is sent, so an invalid
 * item means that nothing was enqueued. When a call fails, `data.enqueued` of the error says how many from the front
 * are in.
 */
export async function enqueueBulk(
  enqueuer: Enqueuer,
  requests: Iterable<JobRequest>,
  options: BulkOptions = {},
): Promise<(string | false)[]> {
  const { progress, signal } = options
  const all: Prepared[] = []
  const ids: (string | false)[] = []
  const told = isHeard(enqueuer.events)
  const heard = told || enqueuer.events.has('beforeEnqueue')
  let sinceBreath = 0
  for (const request of requests) {
    // Arguments that nobody will be told of are let go at once: kept, they are half the work of the garbage collector.
    const prepared = prepareNth(request, ids.length, heard)
    const wanted = !enqueuer.events.has('beforeEnqueue') || (await allowed(enqueuer, prepared))
    ids.push(wanted ? prepared.id : false)
    if (wanted) all.push(prepared)
    if (++sinceBreath === 2 * MAX_ITEMS) {
      sinceBreath = 0
      await breathe()
    }
  }
  for (let done = 0; done < all.length;) {
    signal?.throwIfAborted()
    const chunk = chunkFrom(all, done)
    try {
      await enqueuer.producer.push(chunk)
    } catch (error) {
      throw error instanceof ResQueueError
        ? new ResQueueError(error.code, `${error.message} ${done} of ${all.length} jobs were enqueued before.`, {
            cause: error,
            data: { ...error.data, enqueued: done },
          })
        : error
    }
    if (told) for (const one of chunk) await tell(enqueuer, one)
    done += chunk.length
    progress?.(done, all.length)
  }
  return ids
}

/** The name that a payload's `class` gets. Throws `INVALID_ARGUMENT`. */
export function jobName(job: JobRef): string {
  const name =
    typeof job === 'string'
      ? job
      : typeof job === 'function' || (typeof job === 'object' && job !== null)
        ? nameOf(job)
        : undefined
  if (name === '' && typeof job === 'object') {
    throw invalid(
      "This definition has no name of its own: workers name it after its export or its file, which a producer cannot know. Write defineJob('Name', …), or enqueue by that name.",
    )
  }
  if (typeof name !== 'string' || name === '') throw invalid('Jobs must be given a class.')
  if (!name.isWellFormed()) throw invalid('The name of a job must be valid Unicode.')
  return name
}

/** A queue's name, checked. Throws `INVALID_ARGUMENT`. */
export function queueName(queue: unknown): string {
  if (typeof queue !== 'string' || queue === '') throw invalid('Jobs must be put in a queue.')
  if (!queue.isWellFormed()) throw invalid('The name of a queue must be valid Unicode.')
  return queue
}

/** The Unix second at which a job is due by `at` or `in`, rounded up: it never runs early. Throws `INVALID_ARGUMENT`. */
function dueSecond(at: unknown, inSeconds: unknown, now: number): number | undefined {
  if (at !== undefined && inSeconds !== undefined) throw invalid('Give either "at" or "in", not both.')
  if (at instanceof Date) {
    if (Number.isNaN(at.getTime())) throw invalid('"at" is an invalid Date.')
    return Math.ceil(at.getTime() / 1000)
  }
  if (at !== undefined) {
    if (typeof at !== 'number' || !Number.isInteger(at) || at < 0)
      throw invalid('"at" must be a Date or whole seconds since the epoch.')
    if (at > 1e11) throw invalid(`"at" is in seconds; ${at} looks like milliseconds.`)
    return at
  }
  if (inSeconds === undefined) return undefined
  return Math.ceil(now / 1000 + checkSeconds(inSeconds, '"in"'))
}

/**
 * Builds and checks what is sent for a request; `given` is what listeners will be told of its arguments. Throws
 * `INVALID_ARGUMENT`.
 */
export function prepare(request: JobRequest, given: unknown): Prepared {
  const { args = [], prefix = '', track = false, retry, timeout } = request
  const queue = queueName(request.queue)
  const job = jobName(request.class)
  // Of what is not heeded, `delay: 60` would run at once.
  const unknown = Object.keys(request).find((field) => !FIELDS.has(field))
  if (unknown !== undefined) throw invalid(`The option "${unknown}" is unknown; there are ${[...FIELDS].join(', ')}.`)
  if (!Array.isArray(args)) throw invalid('"args" must be a list.')
  if (typeof prefix !== 'string' || !prefix.isWellFormed()) throw invalid('"prefix" must be a string.')
  const id = request.id ?? newId()
  if (typeof id !== 'string' || id === '' || !id.isWellFormed())
    throw invalid('"id" must be a string that is not empty.')
  const now = Date.now()
  const at = dueSecond(request.at, request.in, now)
  const raw = encodePayload({
    class: job,
    args,
    id,
    prefix,
    // A delayed job waits from the time it is due, one that is overdue already from now: nobody was late before.
    queueTime: at === undefined ? now : Math.max(at * 1000, now),
    queue: at === undefined ? undefined : queue,
    extras: encodeExtras(retry, timeout),
  })
  return { queue, raw, id, status: track ? statusName(id, prefix) : undefined, at, job, args: given }
}

function prepareNth(request: JobRequest, index: number, heard: boolean): Prepared {
  try {
    if (typeof request !== 'object' || request === null) throw invalid('It is no job: { queue, class, args, … }.')
    return prepare(request, heard ? (request.args ?? []) : undefined)
  } catch (error) {
    if (!(error instanceof ResQueueError)) throw error
    throw new ResQueueError(error.code, `Item ${index}: ${error.message}`, {
      cause: error,
      data: { ...error.data, index },
    })
  }
}

async function allowed({ events }: Enqueuer, { job, args, queue, id }: Prepared): Promise<boolean> {
  try {
    return await events.trigger('beforeEnqueue', job, args, queue, id)
  } catch (error) {
    if (error instanceof DoNotCreate) return false
    throw error
  }
}

/** Whether anybody is told of what was enqueued. */
function isHeard(events: Enqueuer['events']): boolean {
  return events.has('afterEnqueue') || events.has('afterSchedule')
}

/** The job is in Redis by now: a listener that throws must not look like an enqueue that failed. */
async function tell({ events }: Enqueuer, { at, job, args, queue, id }: Prepared): Promise<void> {
  const event = at === undefined ? 'afterEnqueue' : 'afterSchedule'
  if (!events.has(event)) return
  try {
    if (at === undefined) await events.trigger('afterEnqueue', job, args, queue, id)
    else await events.trigger('afterSchedule', at, queue, job, args, id)
  } catch (error) {
    process.emitWarning(`A listener of ${event} threw after job ${id} was enqueued: ${messageOf(error)}`, {
      code: 'RESQUEUE_LISTENER',
    })
  }
}

function chunkFrom(all: readonly Prepared[], start: number): Prepared[] {
  const chunk: Prepared[] = []
  const later = all[start]?.at !== undefined
  let chars = 0
  for (let i = start; i < all.length && chunk.length < MAX_ITEMS; i++) {
    const item = all[i] as Prepared
    chars += item.raw.length
    if (chunk.length > 0 && (chars > MAX_CHARS || (item.at !== undefined) !== later)) break
    chunk.push(item)
  }
  return chunk
}

function nameOf(job: object): unknown {
  if ('jobName' in job) return job.jobName
  return typeof job === 'function' ? job.name : undefined
}

function invalid(message: string): ResQueueError {
  return new ResQueueError('INVALID_ARGUMENT', message)
}
