import { settlesWithin } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Registration } from '../queue/registry.ts'
import type { Failure } from './endings.ts'
import type { JobRun } from './engine.ts'
import { functionsOf, importModule, type AnyFunction } from './importmodule.ts'

/** Listeners that run in the worker's own process (R27, R34, R67, R72): the operator's code, not the jobs'. */
export interface ParentEvents {
  /** Once, before the first job is reserved. */
  beforeFirstFork: [worker: Registration]
  /** After the atomic reserve, before the job's process begins. */
  beforeFork: [job: JobRun]
  /** A job failed for good. */
  onFailure: [error: Failure['error'], job: JobRun]
  /** A delayed job was moved to its queue. */
  beforeDelayedEnqueue: [queue: string, className: string, args: readonly unknown[]]
}

export interface ParentHooks {
  has(event: keyof ParentEvents): boolean
  /**
   * Calls the listeners in order, awaiting each. One that throws, or has not settled after five seconds, is logged; the
   * job goes on.
   */
  tell<E extends keyof ParentEvents>(event: E, ...args: ParentEvents[E]): Promise<void>
}

/** How long a listener may hold up a job; before the first job it may take its time. Milliseconds. */
const LISTENER_MS = 5000

const EVENTS = ['beforeFirstFork', 'beforeFork', 'onFailure', 'beforeDelayedEnqueue'] as const

/** Loads the parent-side listeners of a hooks module. Throws `CONFIG` when it does not load. */
export async function loadParentHooks(
  file: string | undefined,
  log: Logger,
  listenerMs: number = LISTENER_MS,
): Promise<ParentHooks> {
  const module = file === undefined ? {} : await importModule(file, 'hooks module')
  const listeners = new Map<string, readonly AnyFunction[]>()
  for (const event of EVENTS) {
    const found = functionsOf(module, event)
    if (found.length > 0) listeners.set(event, found)
  }
  return {
    has: (event) => listeners.has(event),
    tell: async (event, ...args) => {
      for (const listener of listeners.get(event) ?? []) {
        try {
          const work = Promise.resolve(listener(...(args as unknown as never[])))
          if (event === 'beforeFirstFork') await work
          else if (!(await settlesWithin(work, listenerMs)))
            log.error({ event, waited_s: listenerMs / 1000 }, `a ${event} listener does not settle; the job goes on`)
        } catch (error) {
          log.error({ event, 'error.message': messageOf(error) }, `a ${event} listener threw; the job goes on`)
        }
      }
    },
  }
}
