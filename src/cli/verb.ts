import type { Option } from '../option.ts'
import type { ResQueue } from '../queue/client.ts'
import type { Lane } from '../queue/lane.ts'
import type { Store } from '../redis/store.ts'
import type { RedisConfig } from '../redis/url.ts'
import type { Output } from './output.ts'
import type { Progress } from './progress.ts'

/** One thing that the command line can do. Its metadata gives parsing, help, completion and docs/cli.md. */
export interface Verb {
  /** Behind the family's name: `ls`; empty for a family of one verb. */
  readonly name: string
  readonly summary: string
  /** Operands as the help shows them: `QUEUE CLASS [ARG…]`; empty: none. */
  readonly operands: string
  /** Fewest and most operands. */
  readonly count: readonly [least: number, most: number]
  /** More than the summary says; wrapped by the help. */
  readonly about?: string
  /** Without the leading `resqueue`. At least one. */
  readonly examples: readonly string[]
  readonly options: readonly Option<unknown>[]
  /** Whether it talks to Redis and so takes the options that say where it is. */
  readonly redis: boolean
  /** Returns the exit code. */
  run(context: Context): Promise<number>
}

/** Verbs that begin with the same word, in a module that is loaded when the word is used. */
export interface Family {
  readonly name: string
  readonly summary: string
  load(): Promise<readonly Verb[]>
}

/** A verb as it is typed behind `resqueue`: `queue ls`. */
export function nameOf(family: Family, verb: Verb): string {
  return verb.name === '' ? family.name : `${family.name} ${verb.name}`
}

/** What a verb is run with. */
export interface Context {
  readonly operands: readonly string[]
  readonly get: <T>(option: Option<T>) => T
  /** Whether a flag or a variable gave it. */
  readonly given: (option: Option<unknown>) => boolean
  readonly output: Output
  /** Aborts at Ctrl-C and TERM: long work stops at the next safe point and says how far it came. */
  readonly signal: AbortSignal
  readonly env: NodeJS.ProcessEnv
  readonly config: RedisConfig
  /** The client; opened at the first use, closed when the verb ends. */
  readonly client: () => Promise<ResQueue>
  /** Redis, for what looks. Opened at the first use. */
  readonly store: () => Promise<Store>
  /** Redis with numbered calls, for what changes something. */
  readonly lane: () => Promise<Lane>
  /**
   * Asks before something is destroyed or moved in bulk: `action` as in "Remove the queue mail". True when `--yes` was
   * given or a person said so. Throws `USAGE` where nobody can be asked.
   */
  readonly confirm: (action: string) => Promise<boolean>
  readonly progress: (what: string) => Progress
}
