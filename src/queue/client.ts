import { defined } from '../defined.ts'
import { ResQueueError } from '../errors.ts'
import { isObject } from '../json.ts'
import { redisOfEnvironment } from '../redis/settings.ts'
import { parseEndpoint, type RedisConfig } from '../redis/url.ts'
import { groupsOf, type Groups } from './groups.ts'
import {
  enqueue,
  enqueueBulk,
  type BulkOptions,
  type Checked,
  type EnqueueOptions,
  type JobRequest,
} from './enqueue.ts'
import { createEvents, type ClientEvents, type Events } from './events.ts'
import { recreateJob, reserveJob, type Job } from './job.ts'
import type { EnqueueRest, JobRef } from './jobref.ts'
import { openLane } from './lane.ts'
import { openProducer, type Replication } from './producer.ts'
import type { Session } from './session.ts'
import { jobStatus, type JobStatus } from './status.ts'

/**
 * Where the client finds Redis. Everything is optional: without `redis` the environment says it, with the variables
 * that a worker reads (`REDIS_URL`, `REDIS_PASSWORD`, `REDIS_TLS_CA`, …). An option overrides its variable. With
 * `redis` only `PREFIX`, `REDIS_PASSWORD_FILE`, `REDIS_SENTINEL_USERNAME` and `REDIS_SENTINEL_PASSWORD_FILE` are read.
 */
export interface ResQueueOptions extends Partial<Omit<RedisConfig, 'url' | 'namespace'>> {
  /**
   * See `RedisConfig.url`. Default `REDIS_URL` or `REDIS_BACKEND` of the environment, else `redis://127.0.0.1:6379`.
   */
  readonly redis?: string
  /** What all keys start with. Default `PREFIX` of the environment, else `resque`, the family's; may be empty. */
  readonly namespace?: string
  /**
   * Enqueues resolve only when so many replicas have the job: a failover then loses none that was acknowledged. Where
   * they do not confirm in time the error is `ENQUEUE_UNCERTAIN`. Not on a Redis Cluster. Default: the primary's word
   * is enough.
   */
  readonly replication?: Replication
}

/**
 * The client: enqueues, looks and acts on what is in Redis. It connects at the first use; every call rejects with
 * `REDIS_UNAVAILABLE` after five seconds without Redis, so nothing piles up. Close it when done: `close()` or
 * `await using`.
 */
export class ResQueue implements AsyncDisposable {
  /** beforeEnqueue, afterEnqueue, afterSchedule (R67). */
  readonly events: Events<ClientEvents> = createEvents<ClientEvents>()
  readonly queues: Groups['queues']
  readonly failed: Groups['failed']
  readonly quarantine: Groups['quarantine']
  readonly retries: Groups['retries']
  readonly delayed: Groups['delayed']
  readonly workers: Groups['workers']
  readonly stats: Groups['stats']
  readonly jobs: Groups['jobs']

  readonly #config: RedisConfig
  readonly #replication: Replication | undefined
  #session: Session | undefined
  #opening: Promise<Session> | undefined
  #closed = false
  /** Calls under way. */
  #calls = 0
  #quiet: PromiseWithResolvers<void> | undefined

  /**
   * Throws `USAGE` for an option, a URL or a variable of the environment that cannot be understood, and for
   * `replication` on a Redis Cluster.
   */
  constructor(options: ResQueueOptions = {}) {
    checkOptions(options)
    const { replication, ...rest } = options
    this.#config = configOf(rest)
    const { kind } = parseEndpoint(this.#config)
    if (replication && kind === 'cluster') {
      throw new ResQueueError(
        'USAGE',
        'The option "replication" cannot be kept on a Redis Cluster: WAIT names no key there, so it asks any node, not the one that has the job.',
      )
    }
    if (replication && !Number.isInteger(replication.replicas))
      throw new ResQueueError('USAGE', 'The option "replication" must say how many: { replicas: 1 }.')
    this.#replication = replication
    const groups = groupsOf((act) => this.#call(act))
    this.queues = groups.queues
    this.failed = groups.failed
    this.quarantine = groups.quarantine
    this.retries = groups.retries
    this.delayed = groups.delayed
    this.workers = groups.workers
    this.stats = groups.stats
    this.jobs = groups.jobs
  }

  /**
   * Enqueues a job at the tail of a queue (R1–R10) and resolves to its id once Redis has it, or to false when a
   * `beforeEnqueue` listener vetoed. `args` is written as the one element of the payload's `args`; without it that list
   * is empty; null is an argument.
   *
   * Throws `INVALID_ARGUMENT` (nothing sent), `REDIS_FULL` or `REDIS_REFUSED` (nothing written), `REDIS_UNAVAILABLE`
   * (nothing was ever sent), or `ENQUEUE_UNCERTAIN` with `data.id`: the answer was lost, the job may be in its queue.
   *
   * @example
   *   const id = await queue.enqueue('mail', 'SendEmail', { to: 'ann@example.org' }, { track: true })
   */
  async enqueue<J extends JobRef>(
    queue: string,
    job: J,
    ...rest: EnqueueRest<J, EnqueueOptions | boolean>
  ): Promise<string | false>
  /** Enqueues a job with positional arguments, as Ruby Resque has them: `args` is the payload's list, as it is. */
  async enqueue<const R extends JobRequest>(request: R & Checked<R>): Promise<string | false>
  async enqueue(
    first: string | JobRequest,
    job?: JobRef,
    args?: unknown,
    options?: EnqueueOptions | boolean,
  ): Promise<string | false> {
    if (typeof first === 'object' && first !== null) return this.#call(({ enqueuer }) => enqueue(enqueuer, first))
    const request = requestOf(first, job as JobRef, args, options)
    return this.#call(({ enqueuer }) => enqueue(enqueuer, request, args))
  }

  /** Enqueues many jobs in few calls and resolves to their ids in order; a vetoed one is false. See `enqueue`. */
  async enqueueBulk<const R extends JobRequest>(
    requests: Iterable<R & Checked<R>>,
    options?: BulkOptions,
  ): Promise<(string | false)[]> {
    return this.#call(({ enqueuer }) => enqueueBulk(enqueuer, requests, options))
  }

  /** Enqueues a job that becomes due at `at`, a Date or whole Unix seconds (R69). */
  async enqueueAt<J extends JobRef>(
    at: Date | number,
    queue: string,
    job: J,
    ...[args, options]: EnqueueRest<J, EnqueueOptions>
  ): Promise<string | false> {
    const request = requestOf(queue, job, args, { ...options, at: at ?? Number.NaN })
    return this.#call(({ enqueuer }) => enqueue(enqueuer, request, args))
  }

  /** Enqueues a job that becomes due in so many seconds (R69). */
  async enqueueIn<J extends JobRef>(
    seconds: number,
    queue: string,
    job: J,
    ...[args, options]: EnqueueRest<J, EnqueueOptions>
  ): Promise<string | false> {
    const request = requestOf(queue, job, args, { ...options, in: seconds ?? Number.NaN })
    return this.#call(({ enqueuer }) => enqueue(enqueuer, request, args))
  }

  /** The status of a job that was enqueued with `track` (R57–R59). */
  status(id: string, prefix?: string): JobStatus {
    return jobStatus((act) => this.#call(act), id, prefix)
  }

  /**
   * Takes the job at the head of a queue away and returns it (R63), or undefined where there is none. It is then the
   * caller's: unlike a worker's job it is not put back when the caller dies.
   */
  async reserve(queue: string): Promise<Job | undefined> {
    return this.#call(({ lane }) => reserveJob(lane, queue))
  }

  /** Enqueues a job again under a new id (R60): same queue, class, arguments, prefix, extras; tracked if it was. */
  async recreate(job: Job): Promise<string | false> {
    return this.#call(({ store, enqueuer }) => recreateJob(store, enqueuer, job))
  }

  /**
   * Finishes the calls under way and disconnects. Later calls reject at once. May be called twice. A listener must not
   * wait for it: the enqueue that it listens to is one of the calls.
   */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#calls > 0) await (this.#quiet ??= Promise.withResolvers()).promise
    this.#session?.store.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Every call comes through here, so that `close` knows which are under way. */
  async #call<T>(act: (session: Session) => Promise<T>): Promise<T> {
    if (this.#closed) throw new ResQueueError('REDIS_UNAVAILABLE', 'This client was closed.')
    this.#calls++
    try {
      return await act(this.#session ?? (await (this.#opening ??= this.#open())))
    } finally {
      if (--this.#calls === 0) this.#quiet?.resolve()
    }
  }

  async #open(): Promise<Session> {
    // Loads ioredis: not before somebody needs it.
    const { openStore } = await import('../redis/store.ts')
    const store = openStore(this.#config, 'resqueue-client')
    const lane = openLane(store)
    this.#session = Object.freeze({
      store,
      lane,
      enqueuer: { producer: openProducer(lane, this.#replication), events: this.events },
    })
    return this.#session
  }
}

const OPTIONS = ['redis', 'namespace', 'db', 'password', 'passwordFile', 'sentinel', 'tls', 'replication']

/** What is not heeded, such as `url` or `host`, would leave the client with another Redis than its caller means. */
function checkOptions(options: unknown): void {
  if (!isObject(options))
    throw new ResQueueError('USAGE', "The options of a client are an object: { redis: 'redis://…' }.")
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name))
  if (unknown !== undefined)
    throw new ResQueueError('USAGE', `The option "${unknown}" is unknown; there are ${OPTIONS.join(', ')}.`)
  for (const name of ['redis', 'namespace'] as const) {
    if (!['string', 'undefined'].includes(typeof options[name]))
      throw new ResQueueError('USAGE', `The option "${name}" must be a text.`)
  }
}

/**
 * An option overrides its variable. Who names a server is not given the database and certificates that the environment
 * has for another.
 */
function configOf({ redis, ...options }: Omit<ResQueueOptions, 'replication'>): RedisConfig {
  if (redis?.trim() === '')
    throw new ResQueueError('USAGE', 'The option "redis" is empty. Give a URL, or leave it out to take REDIS_URL.')
  const { PREFIX, REDIS_PASSWORD_FILE, REDIS_SENTINEL_USERNAME, REDIS_SENTINEL_PASSWORD_FILE } = process.env
  const few = { PREFIX, REDIS_PASSWORD_FILE, REDIS_SENTINEL_USERNAME, REDIS_SENTINEL_PASSWORD_FILE }
  const own = redisOfEnvironment(redis === undefined ? process.env : few)
  const given = defined(options)
  const { password: _password, passwordFile: _passwordFile, ...others } = own
  const secret = 'password' in given || 'passwordFile' in given
  return { ...(secret ? others : own), ...given, ...(redis === undefined ? {} : { url: redis }) }
}

function requestOf(
  queue: string,
  job: JobRef,
  args: unknown,
  options: EnqueueOptions | boolean | undefined,
): JobRequest {
  if (args !== undefined && typeof args !== 'object') {
    throw new ResQueueError(
      'INVALID_ARGUMENT',
      'Supplied args must be an object, a list or null. Pass positional arguments as enqueue({ queue, class, args: […] }).',
    )
  }
  const rest = typeof options === 'boolean' ? { track: options } : options
  return { ...rest, queue, class: job, args: args === undefined ? [] : [args] } as JobRequest
}
