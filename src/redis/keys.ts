/**
 * The keys that are named from here; scripts make further ones of the same prefix. Keys outside `ext:` are the Resque
 * family's, letter for letter; everything of our own lives under `ext:`. docs/protocol.md describes them all.
 */
export interface Keys {
  /** What all keys start with: the namespace and a colon, or nothing for an empty namespace. */
  readonly prefix: string
  /**
   * KEYS[1] of every script: names the namespace and routes the call in a cluster. Never a real key; the store relies
   * on that.
   */
  readonly scope: string

  readonly queues: string
  queue(name: string): string
  readonly workers: string
  worker(id: string): string
  workerStarted(id: string): string
  readonly heartbeat: string
  stat(name: string): string
  readonly failed: string
  /** Failed list of one queue, as Ruby's RedisMultiQueue names it. */
  failedOf(queue: string): string
  readonly failedQueues: string
  status(id: string, prefix?: string): string
  readonly delayedSchedule: string
  delayed(timestamp: number | string): string
  readonly pauseAll: string
  /** The leader locks that resque-scheduler and node-resque may hold. Held by one: delayed jobs are left to it. */
  readonly schedulerLocks: readonly SchedulerLock[]

  readonly meta: string
  readonly processes: string
  lease(nonce: string): string
  inflight(nonce: string): string
  readonly quarantine: string
  readonly retry: string
  readonly paused: string
  token(queue: string): string
  draining(pod: string): string
  removed(name: string): string
}

/** The lock of a scheduler of another program. */
export interface SchedulerLock {
  readonly program: 'resque-scheduler' | 'node-resque'
  readonly key: string
}

/**
 * Whether all keys of a namespace share one slot of a Redis Cluster: what counts is the text between its first brace
 * and the next closing one, if there is any
 * (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags).
 */
export function hasHashTag(namespace: string): boolean {
  return /^[^{]*\{[^}]+\}/.test(namespace)
}

/**
 * Keys of one namespace. A trailing colon is not doubled (`resque` and `resque:` are the same); an empty namespace is
 * allowed. A namespace with a hash tag, `{resque}`, keeps all keys in one slot of a Redis Cluster.
 */
export function keysOf(namespace: string): Keys {
  const p = namespace === '' || namespace.endsWith(':') ? namespace : `${namespace}:`
  return Object.freeze({
    prefix: p,
    scope: `${p}ext:`,
    queues: `${p}queues`,
    queue: (name: string) => `${p}queue:${name}`,
    workers: `${p}workers`,
    worker: (id: string) => `${p}worker:${id}`,
    workerStarted: (id: string) => `${p}worker:${id}:started`,
    heartbeat: `${p}workers:heartbeat`,
    stat: (name: string) => `${p}stat:${name}`,
    failed: `${p}failed`,
    failedOf: (queue: string) => `${p}${queue}_failed`,
    failedQueues: `${p}failed_queues`,
    status: (id: string, prefix?: string) => `${p}job:${statusName(id, prefix)}:status`,
    delayedSchedule: `${p}delayed_queue_schedule`,
    delayed: (timestamp: number | string) => `${p}delayed:${timestamp}`,
    pauseAll: `${p}pause-all-workers`,
    schedulerLocks: [
      ...lockNamespaces(p).map((inner) => ({
        program: 'resque-scheduler' as const,
        key: `${p}${inner}:resque_scheduler_master_lock`,
      })),
      { program: 'node-resque' as const, key: `${p}resque_scheduler_leader_lock` },
    ],
    meta: `${p}ext:meta`,
    processes: `${p}ext:processes`,
    lease: (nonce: string) => `${p}ext:lease:${nonce}`,
    inflight: (nonce: string) => `${p}ext:inflight:${nonce}`,
    quarantine: `${p}ext:quarantine`,
    retry: `${p}ext:retry`,
    paused: `${p}ext:paused`,
    token: (queue: string) => `${p}ext:token:${queue}`,
    draining: (pod: string) => `${p}ext:draining:${pod}`,
    removed: (name: string) => `${p}ext:removed:${name}`,
  })
}

/** What stands between `job:` and `:status`: php-resque puts a job's prefix, where it has one, before its id. */
export function statusName(id: string, prefix?: string): string {
  return prefix ? `${prefix}_${id}` : id
}

/**
 * What may stand between the prefix and the name of resque-scheduler's lock: its namespace once more, and of nested
 * namespaces (`Redis::Namespace` in `Redis::Namespace`) the innermost only, which may be any end of ours.
 */
function lockNamespaces(prefix: string): readonly string[] {
  const parts = prefix.slice(0, -1).split(':')
  return parts.map((_, i) => parts.slice(i).join(':'))
}
