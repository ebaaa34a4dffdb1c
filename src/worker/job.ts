/**
 * The public subpath `resqueue/job`: what job modules import. It loads nothing heavy, so that the processes which
 * perform jobs stay small.
 */
import { ResQueueError } from '../errors.ts'
import type { WithoutContext } from '../queue/jobref.ts'
import { checkSeconds } from '../retry.ts'
import {
  makeDefinition,
  type AnnotatedHandler,
  type JobDefinition,
  type JobHandler,
  type JobOptions,
} from './definition.ts'
import type { Verdict } from './verdict.ts'

export { currentJob, type JobContext, type JobLog } from './currentjob.ts'
export type { RetryOptions } from '../retry.ts'
export type { AnnotatedHandler, JobDefinition, JobHandler, JobOptions } from './definition.ts'

/**
 * Defines a job. `name` is the class name in payloads and may be any text (`App\Jobs\SendEmail`, `Mail::Send`); without
 * it a default export is named after its file in CamelCase, a named one after its export. The handler gets the
 * payload's args, then a `JobContext`.
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- three of them, so that defineJob<[Email]>(…) means the next form
export function defineJob<Name extends string, Params extends readonly unknown[], Result>(
  name: Name,
  handler: AnnotatedHandler<Params, Result>,
  options?: JobOptions,
): JobDefinition<WithoutContext<Params>>
// oxlint-disable-next-line typescript/no-explicit-any -- a handler without declared arguments takes what foreign producers send
export function defineJob<Args extends readonly unknown[] = any[], Result = unknown>(
  name: string,
  handler: JobHandler<Args, Result>,
  options?: JobOptions,
): JobDefinition<Args>
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- three of them, so that defineJob<[Email]>(…) means the next form
export function defineJob<Params extends readonly unknown[], Result, Options extends JobOptions>(
  handler: AnnotatedHandler<Params, Result>,
  options?: Options,
): JobDefinition<WithoutContext<Params>>
// oxlint-disable-next-line typescript/no-explicit-any -- a handler without declared arguments takes what foreign producers send
export function defineJob<Args extends readonly unknown[] = any[], Result = unknown>(
  handler: JobHandler<Args, Result>,
  options?: JobOptions,
): JobDefinition<Args>
export function defineJob(...given: readonly unknown[]): JobDefinition {
  const [name, handler, options] = typeof given[0] === 'string' ? given : ['', ...given]
  if (typeof handler !== 'function') {
    throw new ResQueueError(
      'INVALID_ARGUMENT',
      `defineJob(${name === '' ? '' : `'${String(name)}', `}handler): the handler must be a function`,
    )
  }
  return makeDefinition(String(name), handler as (...args: never[]) => unknown, options ?? {})
}

/** Thrown by a job that must not be retried, whatever its policy says: it goes to the failed list at once. */
export class Fatal extends Error {
  override readonly name: string = 'Fatal'
  readonly resqueueVerdict: Verdict = { kind: 'fatal' }
}

/** Thrown by a job that wants to run again after `seconds`, whatever its policy says. */
export class Retry extends Error {
  override readonly name: string = 'Retry'
  readonly resqueueVerdict: Verdict

  constructor(seconds: number, message: string = `to be retried after ${seconds} s`, options?: ErrorOptions) {
    super(message, options)
    checkSeconds(seconds, 'Retry(seconds)')
    this.resqueueVerdict = { kind: 'retry', afterMs: Math.round(seconds * 1000) }
  }
}

/**
 * Thrown by `setUp`, `perform`, `tearDown` or a listener to end the job without a failure; the rest is skipped (R44).
 */
export class DoNotPerform extends Error {
  override readonly name: string = 'DoNotPerform'
  readonly resqueueVerdict: Verdict = { kind: 'skip' }
}
