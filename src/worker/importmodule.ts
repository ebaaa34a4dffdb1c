import { messageOf, ResQueueError } from '../errors.ts'
import { path as paths, url } from './builtins.ts'

/**
 * The exports of a module of the operator's, with those of its default object. `what` it is stands in the error. A
 * `version` above 0 loads the file again in a process that has loaded it before. Throws `CONFIG` naming the file.
 */
export async function importModule(file: string, what: string, version: number = 0): Promise<Record<string, unknown>> {
  try {
    const address = `${url.pathToFileURL(file).href}${version === 0 ? '' : `?v=${version}`}`
    const module = (await import(/* @vite-ignore */ address)) as Record<string, unknown>
    const whole = module['default']
    return { ...(typeof whole === 'object' ? whole : {}), ...module }
  } catch (cause) {
    const reason = `${messageOf(cause)}${whereThrown(cause)}`
    throw new ResQueueError('CONFIG', `The ${what} ${file} could not be loaded: ${reason}`, { cause })
  }
}

/** A function of whose arguments nothing is known. */
export type AnyFunction = (...args: never[]) => unknown

/**
 * The functions that a module exports under a name: one, or a list of which what is not callable is skipped, as the
 * family does (R67).
 */
export function functionsOf(module: Readonly<Record<string, unknown>>, name: string): readonly AnyFunction[] {
  return [module[name]].flat().filter((value): value is AnyFunction => typeof value === 'function')
}

/** A frame of a stack, or the line above it that says where code could not be compiled. */
const PLACE = /^(?:\s+at (?:.*\(|async )?)?(?:file:\/\/)?(\/.*?)(?:\?v=\d+)?(:\d+(?::\d+)?)\)?$/

/**
 * Where the code of a module failed, as ` (FILE:LINE:COLUMN)`: often in something that it imports. Empty where the
 * error does not say.
 */
export function whereThrown(error: unknown): string {
  const own = paths.dirname(url.fileURLToPath(import.meta.url))
  for (const line of error instanceof Error ? String(error.stack).split('\n') : []) {
    const [, file, position] = PLACE.exec(line) ?? []
    if (file !== undefined && paths.dirname(file) !== own) return ` (${file}${position})`
  }
  return ''
}
