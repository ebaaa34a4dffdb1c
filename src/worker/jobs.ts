import { defined } from '../defined.ts'
import { messageOf, ResQueueError } from '../errors.ts'
import { isObject } from '../json.ts'
import { fs, path as paths, url } from './builtins.ts'
import { isDefinition, type JobOptions } from './definition.ts'
import type { JobPolicy } from './engine.ts'
import { whereThrown } from './importmodule.ts'
import { jobPolicy } from './policy.ts'

/** The class form of a job, as php-resque has it: an instance with `args`, `queue` and `job`. */
export interface JobClass {
  new (): object
  readonly jobName?: string
  readonly retry?: JobOptions['retry']
  readonly timeout?: number
}

/** One job that can be performed. */
export type LoadedJob = { readonly file: string; readonly policy: JobPolicy } & (
  | { readonly kind: 'handler'; readonly handler: (...args: unknown[]) => unknown }
  | { readonly kind: 'class'; readonly type: JobClass }
)

/** Everything that a module or folder of jobs offers. */
export interface JobRegistry {
  readonly jobs: ReadonlyMap<string, LoadedJob>
  /** Exported classes without `perform`, for the message that R43 wants. */
  readonly withoutPerform: ReadonlySet<string>
}

const EXTENSIONS = new Set(['.ts', '.js', '.mts', '.mjs', '.cts', '.cjs'])

function refuse(file: string, reason: string, cause?: unknown): ResQueueError {
  return new ResQueueError('JOBS', `${file}: ${reason}`, { cause, data: { file } })
}

/** `send-email.ts` → `SendEmail`: the name of a default export that has none of its own. */
export function nameFromFile(file: string): string {
  const words = paths.basename(file, paths.extname(file)).split(/[^\p{L}\p{N}]+/u)
  return words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')
}

/** The module files of a folder (not of its subfolders), or the file itself. Throws `JOBS`. */
export function moduleFiles(path: string): string[] {
  let folder: boolean
  try {
    folder = fs.statSync(path).isDirectory()
  } catch (cause) {
    throw refuse(path, 'no such file or folder', cause)
  }
  if (!folder) return [path]
  const files = fs
    .readdirSync(path)
    .filter(
      (name) =>
        EXTENSIONS.has(paths.extname(name)) && !name.startsWith('.') && !/\.(d|test|spec)\.[cm]?[jt]s$/.test(name),
    )
    .sort()
  if (files.length === 0) throw refuse(path, 'the folder has no job modules (.ts, .js, .mts, .mjs, .cts, .cjs)')
  return files.map((name) => paths.join(path, name))
}

function isClass(value: unknown): value is JobClass {
  return typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value))
}

function performs(value: unknown): value is JobClass {
  return (
    typeof value === 'function' && typeof (value.prototype as { perform?: unknown } | undefined)?.perform === 'function'
  )
}

function asJob(file: string, name: string, value: unknown): LoadedJob | undefined {
  if (isDefinition(value)) {
    refuseGenerator(value.handler)
    return {
      kind: 'handler',
      file,
      handler: value.handler as (...args: unknown[]) => unknown,
      policy: jobPolicy(name, value.options),
    }
  }
  if (!performs(value)) return undefined
  refuseGenerator((value.prototype as { perform: unknown }).perform)
  const { retry, timeout } = value
  return { kind: 'class', file, type: value, policy: jobPolicy(name, defined({ retry, timeout })) }
}

/** Its call only makes an iterator: nothing would run, and the job would count as done. */
function refuseGenerator(perform: unknown): void {
  if (/Generator/.test(Object.prototype.toString.call(perform)))
    throw new Error('it is a generator function, whose body no call runs: leave out the asterisk')
}

/** The name that a value gives itself, else the one of the place where it stands. */
function nameOf(value: unknown, exported: string, file: string): string {
  const declared = (value as { jobName?: unknown }).jobName
  if (typeof declared === 'string' && declared !== '') return declared
  if (exported !== 'default') return exported
  const own = typeof value === 'function' ? value.name : ''
  return own === '' || own === 'default' ? nameFromFile(file) : own
}

type Named = readonly [name: string, value: unknown]

/** A CommonJS module's default export is its whole `module.exports`: then its members are the named exports. */
function exportsOf(module: Record<string, unknown>): Named[] {
  const whole = module['default']
  const isBag = isObject(whole) && !isDefinition(whole)
  const { default: _, 'module.exports': __, ...named } = module
  if (isBag) return Object.entries({ ...whole, ...named })
  return Object.entries('default' in module ? { default: whole, ...named } : named)
}

function candidates(file: string, module: Record<string, unknown>): Named[] {
  const found: Named[] = []
  for (const [exported, value] of exportsOf(module)) {
    if (exported === 'jobs' && typeof value === 'object' && value !== null && !isDefinition(value)) {
      // By its place in a list no producer would know a job.
      if (Array.isArray(value)) throw refuse(file, 'jobs is a list, which names no job: write { name: job, … }')
      for (const [name, job] of value instanceof Map ? (value as Map<string, unknown>) : Object.entries(value)) {
        if (!isDefinition(job) && !isClass(job) && !performs(job)) {
          throw refuse(
            file,
            `jobs[${JSON.stringify(name)}] is neither a class with perform nor the result of defineJob`,
          )
        }
        found.push([name, job])
      }
    } else if (isDefinition(value) || isClass(value) || performs(value)) {
      found.push([nameOf(value, exported, file), value])
    }
  }
  return found
}

/** What classes lack that are no jobs. */
function lacking(found: readonly Named[]): string {
  const names = found.map(([name]) => name)
  return names.length === 0 ? '' : `; perform must be a method of ${names.join(', ')}, not static, and not a property`
}

/**
 * Loads a job module, or all modules of a folder. Throws `JOBS` with the file and the reason when one throws, exports
 * no job, or gives a name that is taken. `version` makes a process that loaded the module before load it again (not
 * what it imports).
 */
export async function loadJobs(path: string, version: number = 0): Promise<JobRegistry> {
  const suffix = version === 0 ? '' : `?v=${version}`
  const jobs = new Map<string, LoadedJob>()
  const values = new Map<string, unknown>()
  const withoutPerform = new Set<string>()
  for (const file of moduleFiles(path)) {
    let module: Record<string, unknown>
    try {
      module = (await import(/* @vite-ignore */ `${url.pathToFileURL(file).href}${suffix}`)) as Record<string, unknown>
    } catch (cause) {
      throw refuse(file, `could not be loaded: ${messageOf(cause)}${whereThrown(cause)}`, cause)
    }
    let any = false
    const found = candidates(file, module)
    for (const [name, value] of found) {
      let job: LoadedJob | undefined
      try {
        job = asJob(file, name, value)
      } catch (cause) {
        throw refuse(file, `job ${name}: ${messageOf(cause)}`, cause)
      }
      if (!job) {
        withoutPerform.add(name)
        continue
      }
      any = true
      const taken = jobs.get(name)
      // The same job under two exports (named and default) is one job.
      if (taken && values.get(name) !== value) throw refuse(file, `job ${name} is already defined in ${taken.file}`)
      jobs.set(name, job)
      values.set(name, value)
    }
    if (!any)
      throw refuse(
        file,
        `exports no job: neither a class with perform, nor a result of defineJob, nor a map named jobs${lacking(found)}`,
      )
  }
  return { jobs, withoutPerform }
}
