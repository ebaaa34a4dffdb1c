import type { Clock } from '../clock.ts'
import type { Registration } from '../queue/registry.ts'
import type { End, Held, State } from '../queue/turn.ts'
import type { Patience, Store } from '../redis/store.ts'

/** An answered turn. */
export interface Turned {
  readonly state: State
  /** More work is there than was handed out. */
  readonly more: boolean
  /** Payloads that are no jobs, and went into quarantine. */
  readonly quarantined: number
  readonly pausedQueues: readonly string[]
  /** Jobs asked for, and got. */
  readonly wanted: number
  readonly got: number
}

/** What the reserve loop of a worker works with. */
export interface TurnOptions {
  readonly store: Store
  readonly clock: Clock
  readonly slots: number
  readonly drainMark: string
  readonly maxRecoveries: number
  readonly patience: Patience
  process(): Registration
  /** Queues in order; paused ones are skipped by the script. */
  queues(): readonly string[]
  /** How many more jobs may be taken now; 0 while paused, draining, stopping or fenced. */
  quota(): number
  /** Whether this worker was told neither to pause nor to stop. */
  willing(): boolean
  /** The number of jobs is limited: none is asked for ahead of its token, or there might be more than are wanted. */
  readonly limited: boolean
  /** A slot got a job. */
  start(held: Held): void
  turned(turned: Turned): void
  /** Asked for, and found nothing to send. */
  rested(): void
  /** Redis does not know this process (any more). The loop rests until `reset`. */
  gone(): void
  /** The end of a job could not be recorded anywhere: keys of another type are in the way. It is tried again. */
  refused(end: End): void
  /** The loop died of an error that repeating cannot mend. */
  broken(error: unknown): void
}

/** A reply older than this starts no job: somebody may have taken us for dead meanwhile. Milliseconds. */
const STALE_MS = 5000

export function isStale(reply: { readonly sentAt: number }, clock: Clock): boolean {
  return clock.monotonic() - reply.sentAt > STALE_MS
}
