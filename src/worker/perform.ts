import { familyJson } from '../json.ts'
import type { ChildHooks, JobListener } from './childhooks.ts'
import type { JobContext, JobLog } from './currentjob.ts'
import { jobError } from './joberror.ts'
import type { JobClass, JobRegistry, LoadedJob } from './jobs.ts'
import type { JobError } from './outcome.ts'
import { verdictOf } from './verdict.ts'

/** How a job's own code ended, as its process reports it. */
export type Report =
  | { readonly kind: 'succeeded'; readonly result: string }
  | { readonly kind: 'skipped' }
  | { readonly kind: 'failed'; readonly error: JobError }

/** One job as its process receives it. */
export interface Assignment {
  readonly id: string
  readonly queue: string
  readonly class: string
  readonly attempt: number
  readonly payload: string
  /** The payload as it was decoded before; else it is decoded here. */
  readonly decoded?: Readonly<Record<string, unknown>> | undefined
}

/** What the process around a job provides. `log` and `signal` are asked for only when job code looks at them. */
export interface Surroundings {
  readonly registry: JobRegistry
  readonly hooks: ChildHooks
  log(): JobLog
  signal(): AbortSignal
  /** Whether this is the process's first job: then `afterFork` is told. */
  readonly fresh: boolean
  /** Makes `currentJob()` work for everything that `body` calls, also later. */
  within<T>(context: JobContext, body: () => T): T
}

interface Instance {
  args?: unknown
  queue?: string
  job?: JobContext
  setUp?: () => unknown
  perform: (...args: unknown[]) => unknown
  tearDown?: () => unknown
}

async function tell(listeners: readonly JobListener[], job: JobContext): Promise<void> {
  for (const listener of listeners) await listener(job)
}

function argsOf(payload: Readonly<Record<string, unknown>>): unknown[] {
  const { args } = payload
  if (Array.isArray(args)) return args
  return args === undefined || args === null ? [] : [args]
}

/**
 * The context stands where the signature has it: missing args are padded with undefined up to the declared length minus
 * one.
 */
function withContext(args: readonly unknown[], declared: number, job: JobContext): unknown[] {
  const padded = [...args]
  while (padded.length < declared - 1) padded.push(undefined)
  padded.push(job)
  return padded
}

function instantiate(type: JobClass, args: readonly unknown[], job: JobContext): Instance {
  const instance = new type() as Instance
  instance.args = args[0] ?? []
  instance.queue = job.queue
  instance.job = job
  return instance
}

/** A result longer than this is kept as `null`: it would burden the worker, and Redis for a day. Characters of JSON. */
const LONGEST_RESULT = 1_000_000

/** What perform returned, as JSON; `null` for what has no JSON form or is too long. */
function encode(result: unknown): string {
  try {
    const json = familyJson(result) ?? 'null'
    return json.length > LONGEST_RESULT ? 'null' : json
  } catch {
    return 'null'
  }
}

class Context implements JobContext {
  readonly id: string
  readonly queue: string
  readonly class: string
  readonly attempt: number
  readonly payload: Readonly<Record<string, unknown>>
  readonly #around: Surroundings

  constructor(job: Assignment, payload: Readonly<Record<string, unknown>>, around: Surroundings) {
    this.id = job.id
    this.queue = job.queue
    this.class = job.class
    this.attempt = job.attempt
    this.payload = payload
    this.#around = around
  }

  get log(): JobLog {
    return this.#around.log()
  }

  get signal(): AbortSignal {
    return this.#around.signal()
  }
}

/** A job that every worker knows, so that an installation can be checked end to end whatever its own jobs are. */
const CHECK: LoadedJob = { kind: 'handler', file: '', policy: { name: 'ResQueueCheck' }, handler: () => 'ok' }

function find(job: JobContext, { jobs, withoutPerform }: JobRegistry): LoadedJob {
  const found = jobs.get(job.class) ?? (job.class === CHECK.policy.name ? CHECK : undefined)
  if (found) return found
  throw new Error(
    withoutPerform.has(job.class)
      ? `Job class ${job.class} does not contain a perform method.`
      : `Could not find job class ${job.class}.`,
  )
}

async function performWithAll(job: JobContext, { registry, hooks, fresh }: Surroundings): Promise<unknown> {
  if (fresh) await tell(hooks.afterFork, job)
  const found = find(job, registry)
  await tell(hooks.beforePerform, job)
  const args = argsOf(job.payload)
  let result: unknown
  if (found.kind === 'handler') {
    result = await found.handler(...withContext(args, found.handler.length, job))
  } else {
    const instance = instantiate(found.type, args, job)
    await instance.setUp?.()
    result = await instance.perform(...withContext(args, instance.perform.length, job))
    await instance.tearDown?.()
  }
  await tell(hooks.afterPerform, job)
  return result
}

/** The same for a job around which nothing is to be told: nothing is awaited that is not there. */
function performAlone(job: JobContext, { registry }: Surroundings): unknown {
  const found = find(job, registry)
  const args = argsOf(job.payload)
  if (found.kind === 'handler') return found.handler(...withContext(args, found.handler.length, job))
  const instance = instantiate(found.type, args, job)
  const run = (): unknown => instance.perform(...withContext(args, instance.perform.length, job))
  if (!instance.setUp && !instance.tearDown) return run()
  return (async () => {
    await instance.setUp?.()
    const result = await run()
    await instance.tearDown?.()
    return result
  })()
}

function succeeded(result: unknown): Report {
  return { kind: 'succeeded', result: encode(result) }
}

function failed(thrown: unknown): Report {
  if (verdictOf(thrown)?.kind === 'skip') return { kind: 'skipped' }
  return { kind: 'failed', error: jobError(thrown) }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return false
  return typeof (value as { then?: unknown }).then === 'function'
}

/**
 * Performs one job with its whole lifecycle (R40–R47). Neither throws nor rejects. The report is there at once when
 * nothing in the job had to be waited for.
 */
export function performJob(assignment: Assignment, around: Surroundings): Report | Promise<Report> {
  try {
    const payload = assignment.decoded ?? (JSON.parse(assignment.payload) as Record<string, unknown>)
    const context = new Context(assignment, payload, around)
    const { afterFork, beforePerform, afterPerform } = around.hooks
    const alone = afterFork.length + beforePerform.length + afterPerform.length === 0
    const body = alone ? performAlone : performWithAll
    const result = around.within(context, () => body(context, around))
    return isThenable(result) ? Promise.resolve(result).then(succeeded, failed) : succeeded(result)
  } catch (thrown) {
    return failed(thrown)
  }
}
