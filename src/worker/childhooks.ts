import type { JobContext } from './currentjob.ts'
import { functionsOf, importModule } from './importmodule.ts'

/** A listener of the job's own process. */
export type JobListener = (job: JobContext) => unknown

/** The child-side listeners of a hooks module, in order (R67). */
export type ChildHooks = Readonly<Record<'afterFork' | 'beforePerform' | 'afterPerform', readonly JobListener[]>>

export const noHooks: ChildHooks = { afterFork: [], beforePerform: [], afterPerform: [] }

/**
 * Loads the child-side part of a hooks module: a default export `{ afterFork, … }` or named exports, each a function or
 * a list of functions. What is not callable is skipped, as the family does. Throws `CONFIG` when the module does not
 * load.
 */
export async function loadChildHooks(file: string | undefined, version: number = 0): Promise<ChildHooks> {
  if (file === undefined) return noHooks
  const module = await importModule(file, 'hooks module', version)
  const pick = (event: string): readonly JobListener[] => functionsOf(module, event) as readonly JobListener[]
  return { afterFork: pick('afterFork'), beforePerform: pick('beforePerform'), afterPerform: pick('afterPerform') }
}
