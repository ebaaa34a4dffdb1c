import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { extrasOf, type Extras } from '../queue/extras.ts'
import { enqueuedAt, parsePayload, type Payload } from '../queue/payload.ts'
import type { End, Ending, Held } from '../queue/turn.ts'
import { statusName } from '../redis/keys.ts'
import { shownClass } from '../telemetry/classname.ts'
import type { WorkerObserver } from '../telemetry/observer.ts'
import { judge, type Judgement } from './endings.ts'
import type { Engine, JobRun } from './engine.ts'
import type { FailureBackends } from './failurebackends.ts'
import type { JobError, Outcome } from './outcome.ts'
import type { ParentHooks } from './parenthooks.ts'
import type { Stop } from './stop.ts'
import type { StopWord } from './stopword.ts'

export interface RunnerOptions {
  readonly engine: Engine
  readonly hooks: ParentHooks
  readonly failureBackends: FailureBackends
  readonly observer: WorkerObserver
  readonly log: Logger
  readonly clock: Clock
  readonly stopWord: StopWord
  /** Family id of a slot's worker, for failure records. */
  workerId(slot: number): string
  /** Writes the status *running* of a job whose id stands where the turn script does not look. Never rejects. */
  markRunning(payload: Payload): void
}

/** Runs reserved jobs and says how their claims end. */
export interface Runner {
  /**
   * Runs one job to its end, which comes at once where nothing had to be waited for. Never throws or rejects. The end
   * is undefined when it was interrupted: then nothing is to be recorded, because a release puts the job back.
   */
  run(held: Held, stop: Stop): End | undefined | Promise<End | undefined>
}

/** One job between its reservation and its end. */
interface Run {
  readonly held: Held
  readonly stop: Stop
  readonly payload: Payload
  readonly job: JobRun
  readonly extras: Extras
  /** Its class as metrics show it. */
  readonly shown: string
  readonly began: number
}

export function createRunner(options: RunnerOptions): Runner {
  const { hooks, failureBackends, observer, log, clock, stopWord } = options
  const chatty = log.isLevelEnabled('info')

  const endOf = (held: Held, payload: Payload | undefined, ending: Ending): End => ({
    slot: held.slot,
    claim: held.claim,
    queue: held.queue,
    reservedAt: held.reservedAt,
    status:
      payload && payload.id !== '' && (held.tracked || !scriptLooked(held.raw, payload))
        ? statusName(payload.id, payload.prefix)
        : '',
    forget: held.remembered,
    ending,
  })

  /** What is recorded of an outcome; at once unless code of the operator's is told of a failure. */
  const conclude = (run: Run, outcome: Outcome, seconds: number): End | Promise<End> => {
    const { held, payload, job, extras, shown } = run
    const judgement = judge(
      job,
      outcome,
      options.engine.policies.get(job.class),
      extras.retry,
      options.workerId(held.slot),
      clock.now(),
    )
    if (judgement.kind === 'return') {
      log.warn({ ...fieldsOf(job), reason: judgement.reason }, 'job goes back to its queue')
      return endOf(held, payload, { verb: 'return', counted: judgement.counted })
    }
    observer.jobFinished(job.queue, shown, judgement.result, seconds, outcome.process?.peakMemoryBytes)
    if (judgement.kind === 'end') {
      if (chatty || judgement.error) logEnd(job, judgement, seconds)
      return endOf(held, payload, judgement.ending)
    }
    const { failure } = judgement
    log.error(
      { ...fieldsOf(job), result: judgement.result, duration_s: round(seconds), ...fieldsOfError(failure.error) },
      'job failed',
    )
    return hooks
      .tell('onFailure', failure.error, job)
      .then(() => failureBackends.ending(failure))
      .then((ending) => endOf(held, payload, ending))
  }

  const close = (run: Run, outcome: Outcome): End | undefined | Promise<End | undefined> => {
    const { stop } = run
    if (stop.interrupted) return undefined
    const seconds = (clock.monotonic() - run.began) / 1000
    const weighed = stopWord.weigh(outcome)
    const end =
      weighed instanceof Promise
        ? weighed.then((known) => (stop.interrupted ? undefined : conclude(run, known, seconds)))
        : conclude(run, weighed, seconds)
    if (!(end instanceof Promise)) return end
    return stop.unlessInterrupted(end).then((known) => (stop.interrupted ? undefined : known))
  }

  /** Engines promise neither to throw nor to reject; should one break, its job goes back and the reason is seen. */
  const broken = (error: unknown): Outcome => ({
    kind: 'returned',
    reason: `the engine broke: ${messageOf(error)}`,
    counted: true,
  })

  const perform = async ({ job, stop }: Run): Promise<Outcome> => {
    try {
      if (hooks.has('beforeFork')) await stop.unlessInterrupted(hooks.tell('beforeFork', job))
      return await options.engine.run(job, stop.signal)
    } catch (error) {
      return broken(error)
    }
  }

  /** The same where nobody is told of it beforehand. */
  const performAtOnce = ({ job, stop }: Run): Outcome | Promise<Outcome> => {
    try {
      const outcome = options.engine.run(job, stop.signal)
      return outcome instanceof Promise ? outcome.catch(broken) : outcome
    } catch (error) {
      return broken(error)
    }
  }

  const logEnd = (
    job: JobRun,
    { result, ending, error }: Judgement & { readonly kind: 'end' },
    seconds: number,
  ): void => {
    const fields = { ...fieldsOf(job), result, duration_s: round(seconds) }
    if (error && ending.verb === 'retry')
      log.warn(
        { ...fields, retry_in_s: round(ending.delayMs / 1000), ...fieldsOfError(error) },
        'job failed and is retried',
      )
    else log.info(fields, 'job ended')
  }

  return {
    run: (held, stop) => {
      const parsed = parsePayload(held.raw)
      if (!parsed.ok) {
        log.error({ queue: held.queue, reason: parsed.reason }, 'payload put into quarantine')
        return endOf(held, undefined, { verb: 'quarantine' })
      }
      const { payload } = parsed
      const extras = extrasOf(payload)
      const shown = shownClass(payload)
      const job: JobRun = {
        id: payload.id,
        queue: held.queue,
        class: payload.class,
        payload: held.raw,
        decoded: options.engine.isolation === 'inline' ? payload.fields : undefined,
        attempt: held.attempts + 1,
        ...(extras.timeoutMs === undefined ? {} : { timeoutMs: extras.timeoutMs }),
      }
      const since = enqueuedAt(payload)
      // A retried job keeps its bytes: what passed since they were written is not its waiting.
      const waited = since === undefined || held.attempts > 0 ? undefined : Math.max(held.reservedAt - since, 0) / 1000
      observer.jobStarted(job.queue, shown, waited)
      if (chatty)
        log.info({ ...fieldsOf(job), ...(waited === undefined ? {} : { wait_s: round(waited) }) }, 'job started')
      if (!held.tracked && payload.id !== '' && !scriptLooked(held.raw, payload)) options.markRunning(payload)
      const run: Run = { held, stop, payload, job, extras, shown, began: clock.monotonic() }
      const outcome = hooks.has('beforeFork') ? perform(run) : performAtOnce(run)
      return outcome instanceof Promise ? outcome.then((known) => close(run, known)) : close(run, outcome)
    },
  }
}

/**
 * Whether the turn script has looked for the job's status: it takes the last `"id":"` of the last 600 bytes (150
 * characters at least), where the family writes it, if neither the id nor the prefix that may follow is written with escapes.
 */
function scriptLooked(raw: string, { id, prefix }: Payload): boolean {
  const at = raw.lastIndexOf('"id":"') + 6
  if (at < raw.length - 150 || !raw.startsWith(id, at) || raw[at + id.length] !== '"') return false
  return prefix === '' || raw.startsWith(`,"prefix":"${prefix}"`, at + id.length + 1)
}

function fieldsOf(job: JobRun): Record<string, unknown> {
  return { job: job.id, queue: job.queue, class: job.class, attempt: job.attempt }
}

function fieldsOfError({ type, message }: JobError): Record<string, unknown> {
  return { 'error.type': type, 'error.message': message }
}

function round(seconds: number): number {
  return Math.round(seconds * 1e6) / 1e6
}
