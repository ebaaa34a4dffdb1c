import type { Redis } from 'ioredis'

/** Who prunes: what a starting worker of Ruby Resque or php-resque knows of itself and of its machine. */
export interface Pruner {
  readonly host: string
  /** Pids that its `ps` shows as workers. */
  readonly pids: readonly string[]
  readonly queues: readonly string[]
  /** Ruby only: FAILURE_BACKEND is redis_multi_queue. */
  readonly multiQueue?: boolean
}

/** After so long without a heartbeat Ruby Resque takes a worker for dead. Seconds. */
const PRUNE_INTERVAL = 300

/**
 * The commands of Ruby Resque 3.0's `prune_dead_workers`, in their order: workers whose heartbeat is old from any
 * machine, then workers of its own host and queues whose pid is gone. Returns the ids that it unregistered.
 */
export async function rubyPrune(redis: Redis, ns: string, pruner: Pruner): Promise<string[]> {
  const me = `${pruner.host}:1:${pruner.queues.join(',')}`
  const lock = await redis.set(`${ns}:pruning_dead_workers_in_progress`, me, 'EX', 60, 'NX')
  if (lock !== 'OK') return []
  const all = await redis.smembers(`${ns}:workers`)
  const [now] = await redis.time()
  const beats = Object.entries(await redis.hgetall(`${ns}:workers:heartbeat`))
  const expired = beats
    .filter(([, beat]) => {
      const seconds = Date.parse(beat) / 1000
      if (Number.isNaN(seconds)) throw new Error(`Time.parse raises on ${beat}: the worker does not start`)
      return Number(now) - seconds > PRUNE_INTERVAL
    })
    .map(([id]) => id)
  const dead = all.filter((id) => {
    const [host, pid, queues] = id.split(':')
    if (queues === undefined) throw new Error(`nil.split raises on ${id}: the worker does not start`)
    if (expired.includes(id)) return false
    const mine = pruner.queues.includes('*') || sameSet(queues.split(','), pruner.queues)
    return mine && host === pruner.host && !pruner.pids.includes(pid ?? '')
  })
  for (const id of expired) await rubyUnregister(redis, ns, id, PRUNED, pruner.multiQueue)
  for (const id of dead) await rubyUnregister(redis, ns, id, STILL_PROCESSED, pruner.multiQueue)
  return [...expired, ...dead]
}

const STILL_PROCESSED = ['Resque::DirtyExit', 'Job still being processed'] as const
const PRUNED = ['Resque::PruneDeadWorkerDirtyExit', 'Worker was pruned while processing a job'] as const

/** What Ruby Resque does about one worker: its job fails, payload as Ruby parsed it, and its registration goes. */
export async function rubyUnregister(
  redis: Redis,
  ns: string,
  id: string,
  why: readonly [string, string] = STILL_PROCESSED,
  multiQueue = false,
): Promise<void> {
  const busy = await redis.get(`${ns}:worker:${id}`)
  if (busy !== null) {
    const { queue, payload } = JSON.parse(busy) as { queue: string; payload: unknown }
    const failed_at = `${new Date().toISOString().slice(0, 19).replaceAll('-', '/').replace('T', ' ')} UTC`
    const [exception, error] = why
    if (multiQueue) await redis.sadd(`${ns}:failed_queues`, `${queue}_failed`)
    await redis.rpush(
      multiQueue ? `${ns}:${queue}_failed` : `${ns}:failed`,
      JSON.stringify({ failed_at, payload, exception, error, backtrace: [], worker: id, queue }),
    )
  }
  await redis
    .pipeline()
    .srem(`${ns}:workers`, id)
    .del(`${ns}:worker:${id}`)
    .del(`${ns}:worker:${id}:started`)
    .hdel(`${ns}:workers:heartbeat`, id)
    .del(`${ns}:stat:processed:${id}`)
    .del(`${ns}:stat:failed:${id}`)
    .exec()
}

/**
 * php-resque's `pruneDeadWorkers`: every worker of its host whose pid is gone, whatever its queues; the job is not
 * failed.
 */
export async function phpPrune(redis: Redis, ns: string, pruner: Pruner): Promise<string[]> {
  const all = await redis.smembers(`${ns}:workers`)
  const dead = all.filter((id) => {
    const [host, pid] = id.split(':')
    return host === pruner.host && !pruner.pids.includes(pid ?? '')
  })
  for (const id of dead) await phpUnregister(redis, ns, id)
  return dead
}

/** What php-resque does about one worker: its registration goes, and with it the only trace of its job. */
export async function phpUnregister(redis: Redis, ns: string, id: string): Promise<void> {
  await redis.srem(`${ns}:workers`, id)
  await redis.del(`${ns}:worker:${id}`)
  await redis.del(`${ns}:worker:${id}:started`)
  await redis.del(`${ns}:stat:processed:${id}`)
  await redis.del(`${ns}:stat:failed:${id}`)
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return new Set([...a, ...b]).size === new Set(a).size && new Set(a).size === new Set(b).size
}
