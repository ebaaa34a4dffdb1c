import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Place } from './place.ts'
import type { End, Kind, Planned } from './plan.ts'

/** Everything that there is to know, read at one time: the jobs' own record, and Redis. */
export interface Findings {
  /** Number of a job → how often it was performed to its end, by its own word. */
  readonly performed: ReadonlyMap<number, number>
  /** Number → `Type: message` of its failure record. */
  readonly failed: ReadonlyMap<number, string>
  readonly quarantined: ReadonlySet<number>
  /** Waiting, delayed, to be retried or in flight. */
  readonly inRedis: ReadonlySet<number>
}

/** A line of the table. */
export interface Verdict {
  readonly kind: Kind
  readonly enqueued: number
  readonly counts: Readonly<Record<End, number>>
  readonly inRedis: number
  readonly lost: number
  /** Performed to the end more than once. */
  readonly twice: number
  /** Jobs that ended otherwise than they should. */
  readonly wrong: readonly number[]
  readonly reason: string
}

/**
 * Looks for every job, in the ledger and in whatever of Redis may hold one. Payloads are not parsed: they may be
 * broken.
 */
export async function look({ folder, redis, namespace }: Place): Promise<Findings> {
  const performed = new Map<number, number>()
  for (const line of ledger(folder)) performed.set(line, (performed.get(line) ?? 0) + 1)
  const failed = new Map<number, string>()
  const quarantined = new Set<number>()
  const inRedis = new Set<number>()
  const key = (name: string): string => `${namespace}:${name}`
  const note = (texts: readonly string[], into: Set<number>): void => {
    for (const text of texts) for (const no of numbersIn(text)) into.add(no)
  }
  for (const text of await redis.lrange(key('failed'), 0, -1)) {
    const { exception, error } = JSON.parse(text) as { exception: string; error: string }
    for (const no of numbersIn(text)) failed.set(no, `${exception}: ${error}`)
  }
  note(await redis.lrange(key('ext:quarantine'), 0, -1), quarantined)
  note(await redis.zrange(key('ext:retry'), 0, '-1'), inRedis)
  for (const queue of await redis.smembers(key('queues')))
    note(await redis.lrange(key(`queue:${queue}`), 0, -1), inRedis)
  for (const time of await redis.zrange(key('delayed_queue_schedule'), 0, '-1'))
    note(await redis.lrange(key(`delayed:${time}`), 0, -1), inRedis)
  for (const nonce of await redis.hkeys(key('ext:processes')))
    note(await redis.hvals(key(`ext:inflight:${nonce}`)), inRedis)
  return { performed, failed, quarantined, inRedis }
}

/** How many jobs have ended in some way. */
export function ended({ performed, failed, quarantined }: Findings): number {
  return new Set([...performed.keys(), ...failed.keys(), ...quarantined]).size
}

/** Judges every job that was enqueued, kind by kind. */
export function judge(jobs: readonly Planned[], findings: Findings): Verdict[] {
  const byKind = [...Map.groupBy(jobs, ({ kind }) => kind)]
  const common = byKind.filter(([kind]) => kind.share !== undefined)
  const rare = byKind.filter(([kind]) => kind.share === undefined)
  return [...common, ...rare].map(([kind, ofKind]) =>
    judgeKind(
      kind,
      ofKind.map(({ no }) => no),
      findings,
    ),
  )
}

function judgeKind(kind: Kind, all: readonly number[], { performed, failed, quarantined, inRedis }: Findings): Verdict {
  const places = { performed, failed, quarantined }
  const count = (has: (no: number) => boolean): number => all.filter(has).length
  const nowhere = (no: number): boolean =>
    !performed.has(no) && !failed.has(no) && !quarantined.has(no) && !inRedis.has(no)
  const right = (no: number): boolean =>
    (Object.keys(places) as End[]).every((end) => places[end].has(no) === (end === kind.end)) &&
    !inRedis.has(no) &&
    (kind.reason === undefined || kind.reason.test(failed.get(no) ?? ''))
  return {
    kind,
    enqueued: all.length,
    counts: {
      performed: count((no) => performed.has(no)),
      failed: count((no) => failed.has(no)),
      quarantined: count((no) => quarantined.has(no)),
    },
    inRedis: count((no) => inRedis.has(no)),
    lost: count(nowhere),
    twice: count((no) => (performed.get(no) ?? 0) > 1),
    wrong: all.filter((no) => !right(no)),
    reason: all.flatMap((no) => failed.get(no) ?? [])[0] ?? '',
  }
}

function ledger(folder: string): number[] {
  try {
    return readFileSync(join(folder, 'ledger'), 'utf8').trimEnd().split('\n').map(Number)
  } catch {
    return [] // no job has been performed yet
  }
}

/** The job numbers in a payload, or in a record that holds one. */
function numbersIn(text: string): number[] {
  return [...text.matchAll(/"no":(\d+)/g)].map((match) => Number(match[1]))
}
