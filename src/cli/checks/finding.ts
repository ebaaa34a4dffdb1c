import type { RedisConfig } from '../../redis/url.ts'
import type { Arg, Store } from '../../redis/store.ts'

/** error: jobs are lost or do not run. warning: that may come. note: worth knowing, not counted. */
export type Level = 'error' | 'warning' | 'note'

export interface Finding {
  /** Stable: scripts may look for it. */
  readonly id: string
  readonly level: Level
  readonly finding: string
  readonly advice: string
}

/** What checks look with. */
export interface Patient {
  readonly store: Store
  readonly config: RedisConfig
  readonly signal: AbortSignal
}

/** A check looks and never changes anything. It throws what Redis answers; the doctor makes a note of that. */
export interface Check {
  readonly name: string
  run(patient: Patient): Promise<readonly Finding[]>
}

/** Several replies in one round trip; throws the first that Redis refused. */
export async function answers(store: Store, commands: readonly (readonly [string, ...Arg[]])[]): Promise<unknown[]> {
  const replies = await store.pipeline(commands)
  for (const reply of replies) if (reply instanceof Error) throw reply
  return replies
}

/** Shell words for advice that can be pasted. */
export function quote(text: string): string {
  return /^[\w./:@%+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
