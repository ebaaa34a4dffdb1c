import type { Clock } from '../../clock.ts'
import { confirmDrained, markDraining, podKey, unmarkDraining, type PodKey } from '../../queue/draining.ts'
import type { Store } from '../../redis/store.ts'
import type { Term } from '../leader.ts'
import { processesIn, type Fleet } from '../observe.ts'
import type { Pod } from '../pods.ts'
import { foreignFrom, type RedisView } from '../view.ts'
import type { Victim, Victims } from './victims.ts'

/**
 * How long the mark of a pod that is given up lasts: as long as the controller manager may be away while the leader
 * changes, because the next leader cannot renew it. Where the pod stays after all its mark is taken away. Milliseconds.
 */
export const GIVEN_UP_MS: number = 15 * 60_000
/** Marks are renewed this often. Milliseconds. */
const RENEW_MS = 20_000
/** Pods and queues that one call takes. */
export const MOST_MARKS = 1000

/** What it takes to change marks. */
export interface Marking {
  readonly store: Store
  readonly term: Term
}

export function podKeyOf(pod: Pod): PodKey {
  return podKey(pod.namespace, pod.uid)
}

/**
 * Marks those whose marks grow old, or that have none yet. Who bears the mark of another owner is no victim of ours.
 */
export async function renewMarks(
  { store, term }: Marking,
  victims: Victims,
  which: readonly Victim[],
  clock: Clock,
): Promise<void> {
  const due = which.filter(({ renewedAt }) => clock.monotonic() - renewedAt > RENEW_MS)
  const givenUp = due.filter(({ releasedAt }) => releasedAt !== undefined)
  const draining = due.filter(({ releasedAt }) => releasedAt === undefined)
  for (const [some, lastsMs] of [[givenUp, GIVEN_UP_MS] as const, [draining, undefined] as const]) {
    if (some.length === 0) continue
    const keys = some.slice(0, MOST_MARKS).map(({ pod }) => podKeyOf(pod))
    const marked = await markDraining(store, term.token, keys, lastsMs)
    const at = clock.monotonic()
    for (const victim of some) {
      if (!marked.has(podKeyOf(victim.pod))) victims.delete(victim.pod.uid)
      else Object.assign(victim, { renewedAt: at, since: Math.min(victim.since, at) })
    }
  }
}

/** Those that bear our mark and run nothing, right now. */
export async function confirmMarks(
  { store, term, view, fleet }: Marking & { readonly view: RedisView; readonly fleet: Fleet },
  which: readonly Victim[],
): Promise<ReadonlySet<PodKey>> {
  // A worker of another program that was started anew has another id than at the last look.
  const others = fleet === 'ours' ? undefined : await foreignFrom(store, new Set(which.map(({ pod }) => pod.name)))
  return confirmDrained(
    store,
    term.token,
    which.map(({ pod }) => ({
      pod: podKeyOf(pod),
      processes: processesIn(view, pod).map(({ registration }) => registration.nonce),
      foreign: others?.get(pod.name) ?? [],
    })),
  )
}

/** Takes away the marks that earlier leaders left on these pods. Returns how many there were. */
export async function clearMarks(
  { store, term, queues }: Marking & { readonly queues: readonly string[] },
  victims: Victims,
  pods: readonly Pod[],
): Promise<number> {
  const keys = pods.slice(0, MOST_MARKS).map(podKeyOf)
  const unmark = async (which: readonly PodKey[], others: boolean): Promise<number> =>
    which.length === 0 ? 0 : unmarkDraining(store, term.token, which, queues.slice(0, MOST_MARKS), { others })
  // Our own on pods that we do not drain are of a scaler that was deleted and made anew.
  const strangers = pods.filter(({ uid }) => !victims.has(uid)).slice(0, MOST_MARKS)
  return (await unmark(keys, true)) + (await unmark(strangers.map(podKeyOf), false))
}
