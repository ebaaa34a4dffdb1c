import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { queueNames } from '../queue/queues.ts'
import { nonceOf, queuesOf } from '../queue/registry.ts'
import { unservedQueues } from '../queue/unserved.ts'
import { foreignQueuesOf, servesNothing } from '../queue/workers.ts'
import type { Patience, Store } from '../redis/store.ts'
import type { Connection } from './connections.ts'
import { readScaler } from './readscaler.ts'
import { MOST_FOREIGN, type RedisView, type Viewer } from './view.ts'
import type { ScalerObject } from './world.ts'

const PATIENCE: Patience = { deadlineMs: 2000 }

/** A Redis that is looked at. */
interface Looked {
  readonly connection: Connection
  readonly viewer: Viewer
}

/**
 * Counts, in each Redis, the jobs that `countUnserved` means, by a look of `maxAgeMs` at most, and tells of them. Where
 * that fails nothing is told. Never rejects.
 */
export async function tellUnserved(
  all: Iterable<Looked>,
  scalers: Iterable<ScalerObject>,
  maxAgeMs: number,
  log: Logger,
  tell: (connection: string, jobs: number) => void,
): Promise<void> {
  const specs = [...scalers].map((object) => readScaler(object)).flatMap((read) => (read.ok ? [read.scaler.spec] : []))
  const byConnection = Map.groupBy(specs, ({ redis }) => redis.name)
  const count = async ({ connection: { name, store }, viewer }: Looked): Promise<void> => {
    try {
      const listed = byConnection.get(name)?.map(({ queues }) => queues) ?? []
      const jobs = await countUnserved(store, await viewer.look(maxAgeMs), listed)
      if (jobs !== undefined) tell(name, jobs)
    } catch (error) {
      log.debug({ connection: name, 'error.message': messageOf(error) }, 'jobs that nobody serves were not counted')
    }
  }
  await Promise.all([...all].map(count))
}

/**
 * Jobs in queues that no worker serves and for which no scaler would start one: a name that was mistyped, or a pool
 * that is no more. Nobody else would ever tell of them. `listed`: the queue lists of the scalers. undefined where there
 * are more workers of other programs than a look takes in.
 */
async function countUnserved(
  store: Store,
  { processes, foreign }: RedisView,
  listed: readonly (readonly string[])[],
): Promise<number | undefined> {
  if (foreign.length >= MOST_FOREIGN) return undefined
  const ours = [...processes.values()].filter(({ load }) => load.leaseLeftMs > 0)
  // Ids of our own form that belong to no process are strays.
  const others = foreign.filter(({ id }) => nonceOf(id) === undefined).map(({ id }) => foreignQueuesOf(id))
  const lists = [
    ...ours.map(({ registration }) => queuesOf(registration)),
    ...others.filter((list) => !servesNothing(list)),
    ...listed,
  ]
  const left = await unservedQueues(store, await queueNames(store, PATIENCE), lists, PATIENCE)
  return left.reduce((jobs, { size }) => jobs + size, 0)
}
