import { systemClock, type Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { queueNames } from '../queue/queues.ts'
import { queuesOf } from '../queue/registry.ts'
import type { Selection } from '../queue/selection.ts'
import { unservedQueues } from '../queue/unserved.ts'
import { foreignQueuesOf } from '../queue/workers.ts'
import type { Patience } from '../redis/store.ts'
import type { Connection } from './connections.ts'
import type { RedisView, Viewer } from './view.ts'

/** From one count to the next, at least. Milliseconds. */
const COUNT_MS = 30_000

const PATIENCE: Patience = { deadlineMs: 2000 }

/**
 * A viewer after whose looks jobs are counted, now and then, in queues that no worker serves and for which no scaler
 * would start one: a name that was mistyped, or a pool that is no more. Nobody else would ever tell of them.
 */
export function countingUnserved(
  viewer: Viewer,
  { store, name }: Connection,
  log: Logger,
  counted: (connection: string, jobs: number) => void,
  clock: Clock = systemClock,
): Viewer {
  const wants = new Map<string, Selection>()
  // Not before every scaler has had its first turn.
  let countedAt = clock.monotonic()

  const count = async ({ processes, foreign }: RedisView): Promise<void> => {
    const lists = [
      ...[...processes.values()].map(({ registration }) => queuesOf(registration)),
      ...foreign.map(({ id }) => foreignQueuesOf(id)).filter((list) => list.some((queue) => !queue.startsWith('!'))),
      ...[...wants.values()].map(({ patterns }) => patterns),
    ]
    const left = await unservedQueues(store, await queueNames(store, PATIENCE), lists, PATIENCE)
    counted(
      name,
      left.reduce((jobs, { size }) => jobs + size, 0),
    )
  }

  return {
    get known() {
      return viewer.known
    },
    want: (key, selection, aheadMs) => {
      if (selection) wants.set(key, selection)
      else wants.delete(key)
      viewer.want(key, selection, aheadMs)
    },
    look: async (maxAgeMs) => {
      const view = await viewer.look(maxAgeMs)
      if (clock.monotonic() - countedAt >= COUNT_MS) {
        countedAt = clock.monotonic()
        void count(view).catch((error: unknown) => {
          log.debug({ connection: name, 'error.message': messageOf(error) }, 'queues without workers were not counted')
        })
      }
      return view
    },
  }
}
