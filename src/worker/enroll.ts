import type { Clock } from '../clock.ts'
import type { Logger } from '../log.ts'
import { register, type Registration } from '../queue/registry.ts'
import type { Patience, Store } from '../redis/store.ts'
import type { WorkerObserver } from '../telemetry/observer.ts'
import { VERSION } from '../version.ts'
import { createCaretaker, type Caretaker } from './caretaker.ts'
import type { WorkerOptions } from './options.ts'
import type { ParentHooks } from './parenthooks.ts'
import type { QueueList } from './queuelist.ts'

export interface Enrollment {
  readonly store: Store
  readonly log: Logger
  readonly observer: WorkerObserver
  readonly clock: Clock
  readonly options: WorkerOptions
  readonly hooks: ParentHooks
  readonly queueList: QueueList
  /** Who is to be known from now on. */
  readonly fresh: Registration
  /** Told as soon as Redis is asked; `answered` settles with its answer, and so does what this returns. */
  registering(answered: Promise<unknown>): Promise<void>
  /** How long to insist: all the worker's life, or, with `--fail-fast`, not at all at the start. */
  readonly patience: Patience
}

/**
 * Registers a worker that has loaded its jobs, takes over what predecessors left, and says that it works. Rejects where
 * Redis refuses.
 */
export async function enroll(enrollment: Enrollment): Promise<Caretaker> {
  const { store, log, observer, clock, options, hooks, queueList, fresh, patience } = enrollment
  const starting: Patience = options.failFast
    ? { deadlineMs: 5000, signal: patience.signal }
    : { ...patience, rotation: false }
  await queueList.refresh(starting)
  const caretaker = createCaretaker(store, { maxRecoveries: options.maxRecoveries, log, observer, hooks, clock })
  await hooks.tell('beforeFirstFork', fresh)
  await enrollment.registering(register(store, fresh, starting))
  await caretaker.recoverPredecessors(fresh, patience)
  if (fresh.isolation === 'inline')
    log.warn({}, 'jobs run in the worker’s own process: one that exits, leaks or never ends takes the worker with it')
  log.info(
    {
      process: fresh.nonce,
      queues: options.queues,
      slots: options.concurrency,
      isolation: fresh.isolation,
      version: VERSION,
    },
    'worker started',
  )
  return caretaker
}
