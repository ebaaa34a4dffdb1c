import { words, type Reader } from './values.ts'

/**
 * An environment variable that an option listens to. `read` translates what the family writes there; undefined: says
 * nothing.
 */
export interface Variable {
  readonly name: string
  readonly read?: (text: string) => string | undefined
  /** How it translates, for the documentation. */
  readonly about?: string
}

/**
 * One option, told once: parsing, `--help`, shell completion and docs/configuration.md all come from here. A flag goes
 * before the environment, the environment before the default; of several variables the first that is set counts. An
 * empty variable counts as not set.
 */
export interface Option<T> {
  /** Without dashes; empty: only the environment can set it. */
  readonly flag: string
  readonly short?: string
  readonly env?: readonly Variable[]
  /** What the value is called in the help; absent: a switch, whose reader is given `true` or `false`. */
  readonly value?: string
  /** A switch that is on by default: the help shows `--no-<flag>`. */
  readonly negative?: boolean
  /** May be given several times; the reader is given the values one by one and `merge` joins them. */
  merge?(values: readonly T[]): T
  readonly choices?: readonly string[]
  readonly fallback: T
  /** The default as people read it; absent: there is none worth showing. */
  readonly shown?: string
  readonly about: string
  readonly read: Reader<T>
}

/** Options of one kind, under one heading of the help. */
export interface OptionGroup {
  readonly title: string
  readonly options: readonly Option<unknown>[]
}

/** A variable of the family whose mere presence says yes. */
export function presence(name: string, then: (on: boolean) => string | undefined, about: string): Variable {
  return { name, about, read: (value) => then(!/^(0|false|no|off)$/i.test(value.trim())) }
}

/** An option that takes any text and has no default. */
export function text(
  flag: string,
  value: string,
  about: string,
  ...env: readonly string[]
): Option<string | undefined> {
  const variables = env.length > 0 ? { env: env.map((name) => ({ name })) } : {}
  return { flag, ...variables, value, fallback: undefined, about, read: words }
}

/**
 * What an environment says to an option: the first of its variables that is set, translated. Undefined where none is.
 */
export function variableOf(
  option: Option<unknown>,
  env: NodeJS.ProcessEnv,
): { readonly name: string; readonly text: string } | undefined {
  for (const { name, read } of option.env ?? []) {
    const written = env[name]
    const text = written === undefined || written === '' ? undefined : read ? read(written) : written
    if (text !== undefined) return { name, text }
  }
  return undefined
}
