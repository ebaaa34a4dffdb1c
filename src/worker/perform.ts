import type { ChildHooks, JobListener } from './childhooks.ts'
import type { JobContext, JobLog } from './currentjob.ts'
import { jobError } from './joberror.ts'
import type { JobClass, JobRegistry } from './jobs.ts'
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
}

/** What the process around a job provides. `signal` is asked for only when job code looks at it. */
export interface Surroundings {
  readonly registry: JobRegistry
  readonly hooks: ChildHooks
  readonly log: JobLog
  readonly signal: () => AbortSignal
  /** Whether this is the process's first job: then `afterFork` is told. */
  readonly fresh: boolean
  /** Makes `currentJob()` work for everything that `body` calls. */
  readonly within: <T>(context: JobContext, body: () => Promise<T>) => Promise<T>
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

/** The context stands where the signature has it: missing args are padded with undefined up to the declared length minus one. */
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

/** What perform returned, as JSON; `null` for what has no JSON form. */
function encode(result: unknown): string {
  try {
    return JSON.stringify(result) ?? 'null'
  } catch {
    return 'null'
  }
}

async function lifecycle(job: JobContext, around: Surroundings): Promise<unknown> {
  const { registry, hooks } = around
  if (around.fresh) await tell(hooks.afterFork, job)
  const found = registry.jobs.get(job.class)
  if (!found) {
    const message = registry.withoutPerform.has(job.class)
      ? `Job class ${job.class} does not contain a perform method.`
      : `Could not find job class ${job.class}.`
    throw new Error(message)
  }
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

/** Performs one job with its whole lifecycle (R40–R47). Never rejects. */
export async function performJob(assignment: Assignment, around: Surroundings): Promise<Report> {
  try {
    const { id, queue, attempt } = assignment
    const payload = JSON.parse(assignment.payload) as Record<string, unknown>
    const context: JobContext = {
      id,
      queue,
      class: assignment.class,
      attempt,
      payload,
      log: around.log,
      get signal() {
        return around.signal()
      },
    }
    const result = await around.within(context, () => lifecycle(context, around))
    return { kind: 'succeeded', result: encode(result) }
  } catch (thrown) {
    if (verdictOf(thrown)?.kind === 'skip') return { kind: 'skipped' }
    return { kind: 'failed', error: jobError(thrown) }
  }
}
