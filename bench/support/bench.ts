import type { PrivateRedis } from './redis.ts'
import type { Row } from './rows.ts'
import type { Throughput } from './throughput.ts'

/** What every line of the benchmark gets. */
export interface Bench {
  readonly redis: PrivateRedis
  /** Everything is measured this often, and medians are told. */
  readonly rounds: number
  /** Sizes and waits are cut down: for a look, not for figures to quote. */
  readonly quick: boolean
  /** Holds files that jobs write. */
  readonly dir: string
  /** A size, smaller where it is quick. */
  size(full: number): number
  say(text: string): void
  /** Jobs per second and what they cost Redis, of every peer; measured once for all lines that ask. */
  throughput(concurrency: 1 | 10 | 50): Promise<Throughput>
}

/** One line of the targets. */
export interface Line {
  readonly id: string
  readonly title: string
  /** How it is measured, for the report. */
  readonly method: string
  measure(bench: Bench): Promise<Row[]>
}
