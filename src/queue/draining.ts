import { loadScript } from '../redis/scripts.ts'
import type { Arg, Store } from '../redis/store.ts'

const markScript = loadScript('drain_mark')
const confirmScript = loadScript('drain_confirm')
const unmarkScript = loadScript('drain_unmark')

/** How long a mark lasts unless it is renewed. Milliseconds. */
const MARK_MS = 60_000

/** Names a pod in a mark: `<cluster namespace>/<pod uid>`. */
export type PodKey = string

export function podKey(namespace: string, uid: string): PodKey {
  return `${namespace}/${uid}`
}

/**
 * Marks pods as draining for `lastsMs` from now, whatever was left of an earlier mark: from the moment this resolves
 * their workers take no job. Returns those that bear our mark; one that another owner marked is not among them. At most
 * 1000.
 */
export async function markDraining(
  store: Pick<Store, 'run'>,
  owner: string,
  pods: readonly PodKey[],
  lastsMs: number = MARK_MS,
): Promise<ReadonlySet<PodKey>> {
  return chosen(pods, await store.run(markScript, [owner, lastsMs, ...pods]))
}

/** A pod that is to be given up, with all that may run jobs in it. */
export interface DrainedPod {
  readonly pod: PodKey
  /** Nonces of the processes registered for it. */
  readonly processes: readonly string[]
  /** Ids of the foreign workers in it. */
  readonly foreign: readonly string[]
}

/** Which of these pods bear our mark and hold no job now; their marks last another minute from here. At most 1000. */
export async function confirmDrained(
  store: Pick<Store, 'run'>,
  owner: string,
  pods: readonly DrainedPod[],
): Promise<ReadonlySet<PodKey>> {
  const args: Arg[] = [owner, MARK_MS, pods.length]
  for (const { pod, processes, foreign } of pods)
    args.push(pod, processes.length, ...processes, foreign.length, ...foreign)
  return chosen(
    pods.map(({ pod }) => pod),
    await store.run(confirmScript, args),
  )
}

/**
 * Takes our marks away and wakes workers for the queues that hold jobs. With `others`, the marks of everybody else: of
 * leaders whose term is over. Returns how many there were. At most 1000 pods and queues.
 */
export async function unmarkDraining(
  store: Pick<Store, 'run'>,
  owner: string,
  pods: readonly PodKey[],
  queues: readonly string[],
  { others = false }: { readonly others?: boolean } = {},
): Promise<number> {
  return Number(await store.run(unmarkScript, [owner, others ? '1' : '', pods.length, ...pods, ...queues]))
}

function chosen(pods: readonly PodKey[], reply: unknown): ReadonlySet<PodKey> {
  const flags = reply as number[]
  return new Set(pods.filter((_, i) => flags[i] === 1))
}
