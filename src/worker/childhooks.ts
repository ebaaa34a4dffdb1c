import { messageOf, ResQueueError } from '../errors.ts'
import { url } from './builtins.ts'
import type { JobContext } from './currentjob.ts'

/** A listener of the job's own process. */
export type JobListener = (job: JobContext) => unknown

/** The child-side listeners of a hooks module, in order (R67). */
export type ChildHooks = Readonly<Record<'afterFork' | 'beforePerform' | 'afterPerform', readonly JobListener[]>>

export const noHooks: ChildHooks = { afterFork: [], beforePerform: [], afterPerform: [] }

/**
 * Loads the child-side part of a hooks module: a default export `{ afterFork, … }` or named exports, each a function or a list of
 * functions. What is not callable is skipped, as the family does. Throws `CONFIG` when the module does not load.
 */
export async function loadChildHooks(file: string | undefined, version: number = 0): Promise<ChildHooks> {
  if (file === undefined) return noHooks
  let module: Record<string, unknown>
  try {
    module = (await import(
      /* @vite-ignore */ `${url.pathToFileURL(file).href}${version === 0 ? '' : `?v=${version}`}`
    )) as Record<string, unknown>
  } catch (cause) {
    throw new ResQueueError('CONFIG', `hooks module ${file}: could not be loaded: ${messageOf(cause)}`, { cause })
  }
  const whole = module['default']
  const all: Record<string, unknown> = { ...(typeof whole === 'object' ? whole : {}), ...module }
  const pick = (event: string): JobListener[] =>
    [all[event]].flat().filter((listener): listener is JobListener => typeof listener === 'function')
  return { afterFork: pick('afterFork'), beforePerform: pick('beforePerform'), afterPerform: pick('afterPerform') }
}
