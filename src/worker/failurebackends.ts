import { settlesWithin } from '../clock.ts'
import { messageOf, ResQueueError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Ending, FailureLists } from '../queue/turn.ts'
import { failureRecord, type Failure } from './endings.ts'
import { importModule } from './importmodule.ts'
import type { FailureBackend } from './options.ts'

/** Where failures go; several backends at once are allowed (R35). */
export interface FailureBackends {
  /**
   * Hands a failure to the user's backends and returns what the turn script is to write. If one of the user's throws,
   * or has not settled after 30 s, the list `failed` is used and the error logged: no failure goes unrecorded, and none
   * keeps its slot for good.
   */
  ending(failure: Failure): Promise<Ending>
}

type Save = (failure: Failure) => unknown

/**
 * How long a user's backend may take for one failure: time for a slow call over the network, and for another try.
 * Milliseconds.
 */
const SAVE_MS = 30_000

/** The lists among the configured backends. */
export function failureLists(configured: readonly FailureBackend[]): FailureLists {
  const has = (kind: FailureBackend['kind']): boolean => configured.some((backend) => backend.kind === kind)
  if (has('redis')) return has('multi-queue') ? 'rm' : 'r'
  return has('multi-queue') ? 'm' : ''
}

/** Prepares the configured backends. A module exports `save(failure)`, or a default function. Throws `CONFIG`. */
export async function createFailureBackends(
  configured: readonly FailureBackend[],
  log: Logger,
  saveMs: number = SAVE_MS,
): Promise<FailureBackends> {
  const modules: Save[] = []
  for (const backend of configured) if (backend.kind === 'module') modules.push(await loadSave(backend.file))
  const lists = failureLists(configured)
  return {
    ending: async (failure) => {
      let target = lists
      for (const save of modules) {
        try {
          if (!(await settlesWithin(Promise.resolve(save(failure)), saveMs)))
            throw new Error(`it has not settled after ${saveMs / 1000} s`)
        } catch (error) {
          log.error(
            { job: failure.job.id, 'error.message': messageOf(error) },
            'the failure backend failed; the failed list is used',
          )
          if (!target.includes('r')) target = target === 'm' ? 'rm' : 'r'
        }
      }
      return { verb: 'failed', lists: target, ...failureRecord(failure) }
    },
  }
}

async function loadSave(file: string): Promise<Save> {
  const module = await importModule(file, 'failure backend')
  const save = module['save'] ?? module['default']
  if (typeof save !== 'function')
    throw new ResQueueError('CONFIG', `The failure backend ${file} exports no function save(failure).`)
  return save as Save
}
