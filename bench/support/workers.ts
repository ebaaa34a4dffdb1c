import { fileURLToPath } from 'node:url'
import { startNode, type Proc } from './process.ts'

const path = (specifier: string): string => fileURLToPath(import.meta.resolve(specifier))

export type PeerName = 'resqueue' | 'bullmq' | 'bee-queue' | 'node-resque' | 'lpop'

/** How the peers are called in the report. */
export const TITLES: Readonly<Record<PeerName, string>> = {
  resqueue: 'ResQueue',
  bullmq: 'BullMQ',
  'bee-queue': 'bee-queue',
  'node-resque': 'node-resque',
  lpop: 'bare LPOP',
}

export interface WorkerPlan {
  readonly concurrency: number
  /**
   * What a job does: `count` sends marks at job `warm` and job `total`, `note` writes when it began, `hang` does so and
   * never ends.
   */
  readonly does: 'count' | 'note' | 'hang'
  readonly warm?: number
  readonly total?: number
  /** The file that `note` and `hang` write to. */
  readonly starts?: string
  /** Jobs run in the worker (default), or in processes: one for each job, or used again without limit. */
  readonly sandbox?: 'fresh' | 'reused'
  /** How ResQueue makes those processes. */
  readonly isolation?: 'fork' | 'spawn'
  readonly queues?: string
  /** ResQueue's: as it is by default, or, where others are compared that log nothing, `warn` (default here). */
  readonly logLevel?: 'info' | 'warn'
  readonly env?: Readonly<Record<string, string>>
}

/** Starts the process that enqueues for a peer. */
export function startProducer(peer: PeerName, port: number): Proc {
  return startNode([path(`../peers/${peer}.ts`)], { BENCH_PORT: String(port) })
}

/** Starts a worker of a peer in a process of its own; resolves when it takes jobs. ResQueue's is the command line's. */
export async function startWorker(peer: PeerName, port: number, plan: WorkerPlan): Promise<Proc> {
  const env = {
    BENCH_PORT: String(port),
    BENCH_DO: plan.does,
    BENCH_WARM: String(plan.warm ?? 0),
    BENCH_TOTAL: String(plan.total ?? 0),
    BENCH_STARTS: plan.starts ?? '',
    BENCH_QUEUES: plan.queues ?? '',
    ...plan.env,
  }
  if (peer !== 'resqueue') {
    const proc = startNode([path(`../peers/${peer}.ts`)], env)
    await proc.call('work', { concurrency: plan.concurrency, ...(plan.sandbox ? { sandbox: plan.sandbox } : {}) })
    return proc
  }
  const flags = {
    redis: `redis://127.0.0.1:${port}`,
    queues: plan.queues ?? 'bench',
    jobs: path('../jobs/resqueue.mjs'),
    concurrency: plan.concurrency,
    isolation: plan.isolation ?? (plan.sandbox ? 'fork' : 'inline'),
    'jobs-per-child': plan.sandbox === 'reused' ? 0 : 1,
    'log-level': plan.logLevel ?? 'warn',
    port: 0,
  }
  const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)])
  return startNode([path('../../dist/bin.js'), 'work', ...args], env)
}
