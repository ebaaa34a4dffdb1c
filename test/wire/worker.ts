import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { silentLogger, type Logger } from '../../src/log.ts'
import { openStore, type Store } from '../../src/redis/store.ts'
import type { WorkerObserver } from '../../src/telemetry/observer.ts'
import type { EngineOptions } from '../../src/worker/engine.ts'
import type { WorkerOptions } from '../../src/worker/options.ts'
import { startWorker, type WorkerHandle } from '../../src/worker/worker.ts'
import { ROOT } from '../support/process.ts'
import { own } from '../support/scope.ts'
import { waitFor, within } from '../support/wait.ts'

/** What one job saw; see test/fixtures/wire/jobs.ts. */
export interface Seen {
  readonly class: string
  readonly queue: string
  readonly id: string
  readonly attempt: number
  readonly args: readonly unknown[]
  readonly pid: number
  /** Of `Lifecycle` jobs: the method, and what stood in the instance. */
  readonly step?: string
  readonly given?: unknown
  readonly on?: string
  /** Of `hooks.ts`: the event. */
  readonly event?: string
  readonly payload?: string
}

/** A worker of ours inside the test's process, performing `test/fixtures/wire/jobs.ts`. */
export interface WireWorker {
  readonly handle: WorkerHandle
  readonly store: Store
  /** What its jobs saw so far, in order. */
  readonly seen: readonly Seen[]
  /** Its registrations in the family's `workers`. */
  ids(): Promise<string[]>
  /** What names its process in our own keys. */
  nonce(): Promise<string>
  /** Waits until its jobs have noted `count` things. */
  sees(count: number): Promise<readonly Seen[]>
  /** A file that `Gate` jobs wait for. */
  readonly gate: string
  open(): void
  /** Takes the gate's file away again. */
  shut(): void
  stop(): Promise<number>
}

export type WireOptions = Partial<Omit<WorkerOptions, 'engine'>> & {
  readonly engine?: Partial<EngineOptions>
  readonly log?: Logger
  readonly observer?: WorkerObserver
}

const observer: WorkerObserver = {
  jobStarted: () => undefined,
  jobFinished: () => undefined,
  forked: () => undefined,
  recovered: () => undefined,
}

/** Starts a worker and resolves when it is registered. Inline unless `engine.isolation` says otherwise. */
export async function startWireWorker(redisUrl: string, ns: string, options: WireOptions = {}): Promise<WireWorker> {
  const scratch = join(tmpdir(), `resqueue-wire-${randomUUID()}`)
  const record = `${scratch}.ndjson`
  const gate = `${scratch}.gate`
  writeFileSync(record, '')
  process.env['WIRE_RECORD'] = record
  const { engine, log = silentLogger, observer: watcher = observer, ...rest } = options
  const store = openStore({ url: redisUrl, namespace: ns }, 'resqueue-wire')
  const handle = startWorker(
    {
      queues: ['default'],
      concurrency: 1,
      intervalMs: 50,
      blocking: true,
      burst: false,
      shutdownTimeoutMs: 5000,
      maxRecoveries: 3,
      failFast: true,
      failureBackends: [{ kind: 'redis' }],
      engine: {
        isolation: 'inline',
        jobs: `${ROOT}test/fixtures/wire/jobs.ts`,
        ...(options.hooks === undefined ? {} : { hooks: options.hooks }),
        jobsPerChild: 1,
        killDelayMs: 1000,
        ...engine,
      },
      ...rest,
    },
    { store, log, observer: watcher },
  )
  handle.done.catch(() => undefined)
  const seen = (): Seen[] =>
    readFileSync(record, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Seen)
  let ended = false
  const open = (): void => writeFileSync(gate, '')
  const stop = async (): Promise<number> => {
    open()
    if (!ended) handle.signal('SIGTERM')
    const { exitCode } = await within(15_000, handle.done, 'the end of the worker')
    ended = true
    store.close()
    return exitCode
  }
  own('worker', async () => {
    try {
      await stop()
    } finally {
      for (const file of [record, gate]) if (existsSync(file)) rmSync(file)
    }
  })
  const ids = async (): Promise<string[]> => {
    const all = (await store.command('smembers', [store.keys.workers])) as string[]
    return all.filter((id) => id.includes(`:${process.pid}:`)).sort()
  }
  await Promise.race([waitFor(() => handle.view.registered), handle.done])
  return {
    handle,
    store,
    get seen() {
      return seen()
    },
    ids,
    nonce: async () => /\.([0-9a-f]+)\.\d+:/.exec((await ids())[0] ?? '')?.[1] ?? '',
    sees: async (count) => {
      await waitFor(() => seen().length >= count, {
        describe: () => `${count} notes of jobs, having ${JSON.stringify(seen())}`,
      })
      return seen()
    },
    gate,
    open,
    shut: () => rmSync(gate, { force: true }),
    stop,
  }
}

/** Waits until nothing waits in these queues and no worker of ours holds a job. */
export async function waitForRest(redis: Redis, ns: string, queues: readonly string[] = ['default']): Promise<void> {
  await waitFor(
    async () => {
      for (const queue of queues) if ((await redis.llen(`${ns}:queue:${queue}`)) > 0) return false
      for (const nonce of await redis.hkeys(`${ns}:ext:processes`)) {
        const fields = await redis.hkeys(`${ns}:ext:inflight:${nonce}`)
        if (fields.some((field) => /^\d+$/.test(field))) return false
      }
      return true
    },
    { describe: 'all jobs to end' },
  )
}

/** Waits for so many renewals of a worker's lease: an event that comes after what must not have happened. */
export async function waitForRenewals(redis: Redis, ns: string, nonce: string, count: number): Promise<void> {
  const left = (): Promise<number> => redis.pttl(`${ns}:ext:lease:${nonce}`)
  let before = await left()
  for (let i = 0; i < count; i++) {
    await waitFor(async () => {
      const now = await left()
      const renewed = now > before
      before = now
      return renewed
    })
  }
}
