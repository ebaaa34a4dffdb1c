import { loadScript } from '../redis/scripts.ts'
import type { Store } from '../redis/store.ts'
import { failedQueues } from './failed.ts'
import type { Lane } from './lane.ts'
import { parsePaused, parsePausedAll } from './paused.ts'

const addScript = loadScript('stat_add')

/** A statistic (R68): `processed`, `failed`, or one of a worker, `processed:<worker id>`. 0 where there is none. */
export async function getStat(store: Store, name: string): Promise<number> {
  return countOf(await store.command('get', [store.keys.stat(name)]))
}

/** Adds to a statistic, once even where the call is sent again. Returns the new value. `by` may be negative. */
export async function addStat(lane: Lane, name: string, by: number): Promise<number> {
  return Number(await lane.run(addScript, [name, Math.trunc(by)]))
}

/** Forgets a statistic; returns whether there was one. */
export async function clearStat(store: Store, name: string): Promise<boolean> {
  return (await store.command('del', [store.keys.stat(name)])) === 1
}

/** The system at a glance. */
export interface Overview {
  readonly processed: number
  readonly failed: number
  readonly queues: number
  /** Entries of the failed list and of the failed lists of single queues; a job that is in both counts twice. */
  readonly failedJobs: number
  /** Seconds that have delayed jobs, and how many retries wait. */
  readonly delayedTimestamps: number
  readonly retryJobs: number
  readonly quarantinedJobs: number
  /** Registrations in the family's `workers`: slots of ours, workers of others. */
  readonly workers: number
  /** Worker processes of ours. */
  readonly processes: number
  readonly pausedAll: boolean
  readonly pausedQueues: readonly string[]
}

/** Counts what there is, in two round trips. */
export async function overview(store: Store): Promise<Overview> {
  const { keys } = store
  const own = await failedQueues(store)
  const replies = await store.pipeline([
    ['mget', keys.stat('processed'), keys.stat('failed'), keys.pauseAll, keys.paused],
    ['scard', keys.queues],
    ['llen', keys.failed],
    ['zcard', keys.delayedSchedule],
    ['zcard', keys.retry],
    ['llen', keys.quarantine],
    ['scard', keys.workers],
    ['hlen', keys.processes],
    ...own.map((queue): [string, string] => ['llen', keys.failedOf(queue)]),
  ])
  for (const reply of replies) if (reply instanceof Error) throw reply
  const [strings, ...counts] = replies as [(string | null)[], ...number[]]
  const [
    queues = 0,
    failedJobs = 0,
    delayedTimestamps = 0,
    retryJobs = 0,
    quarantinedJobs = 0,
    workers = 0,
    processes = 0,
    ...failedOfQueues
  ] = counts
  return {
    processed: countOf(strings[0]),
    failed: countOf(strings[1]),
    queues,
    failedJobs: failedOfQueues.reduce((sum, jobs) => sum + jobs, failedJobs),
    delayedTimestamps,
    retryJobs,
    quarantinedJobs,
    workers,
    processes,
    pausedAll: parsePausedAll(strings[2]),
    pausedQueues: parsePaused(strings[3]),
  }
}

function countOf(reply: unknown): number {
  const count = typeof reply === 'string' ? Number.parseInt(reply, 10) : 0
  return Number.isNaN(count) ? 0 : count
}
