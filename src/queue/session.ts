import type { Store } from '../redis/store.ts'
import type { Enqueuer } from './enqueue.ts'
import type { Lane } from './lane.ts'

/** What the groups of a client share: a connection that is made at the first use. */
export interface Session {
  readonly store: Store
  readonly lane: Lane
  readonly enqueuer: Enqueuer
}

/** Makes a call that needs a connection. */
export type Call = <T>(act: (session: Session) => Promise<T>) => Promise<T>
