import type { PrivateRedis } from './redis.ts'
import type { Row } from './rows.ts'
import type { PeerName } from './workers.ts'

/** What one peer did in one round. */
export interface Run {
  /** Jobs per second, without the first quarter. */
  readonly rate: number
  /** CPU of the worker process a job, without the first quarter. */
  readonly workerMicroseconds: number
  /** Per job. */
  readonly commands: number
  readonly reads: number
  readonly cpuMicroseconds: number
}

export type Throughput = Readonly<Record<PeerName, readonly Run[]>>

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
