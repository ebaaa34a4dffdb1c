import { selectQueues, type Selection } from '../queue/selection.ts'
import type { Scaler } from './api.ts'
import { readScaler } from './readscaler.ts'
import { keyOf, type ScalerObject } from './world.ts'

/** A scaler in so far as others must know of it. */
export interface Peer {
  readonly key: string
  readonly scaler: Scaler
  readonly selection: Selection
}

/** What scalers have to do with each other: queues that several list, and targets that several claim. */
export interface Sharing {
  /** The scaler that goes before this one for the same target: the oldest, then the one with the least uid. */
  rivalOf(key: string): Peer | undefined
  /** Part of a queue that is this scaler's, by maxReplicas × slots. */
  shareOf(key: string, queue: string): number
}

/**
 * Looks at all scalers once. `known`: the queues that exist in the Redis behind a connection. `works`: whether a scaler
 * may use its connection and has a target, as far as that is known. A share of one that does not would be done by
 * nobody; and anybody could take a neighbour's jobs from its count by naming its connection.
 */
export function createSharing(
  objects: Iterable<ScalerObject>,
  known: (connection: string) => readonly string[],
  works: (key: string, scaler: Scaler) => boolean,
): Sharing {
  const peers = new Map<string, Peer>()
  for (const object of objects) {
    const read = readScaler(object)
    if (!read.ok) continue
    const { scaler } = read
    const key = keyOf(object)
    peers.set(key, { key, scaler, selection: selectQueues(scaler.spec.queues) })
  }
  const byTarget = Map.groupBy(peers.values(), targetOf)
  const first = (peer: Peer): Peer => (byTarget.get(targetOf(peer)) ?? []).reduce((a, b) => (older(a, b) ? a : b), peer)

  const weights = new Map<string, number>()
  const counted = new Set<Peer>()
  const weightOf = ({ scaler: { spec, status } }: Peer): number =>
    spec.maxReplicas * (spec.slotsPerReplica ?? status.slotsPerReplica ?? 1)
  for (const peer of peers.values()) {
    if (first(peer) !== peer || peer.scaler.spec.paused || !works(peer.key, peer.scaler)) continue
    counted.add(peer)
    const { name } = peer.scaler.spec.redis
    for (const queue of peer.selection.resolve(peer.selection.dynamic ? known(name) : [])) {
      const at = `${name}\0${queue}`
      weights.set(at, (weights.get(at) ?? 0) + weightOf(peer))
    }
  }
  return {
    rivalOf: (key) => {
      const peer = peers.get(key)
      if (!peer) return undefined
      const winner = first(peer)
      return winner === peer ? undefined : winner
    },
    shareOf: (key, queue) => {
      const peer = peers.get(key)
      if (!peer) return 1
      const own = weightOf(peer)
      const sum = weights.get(`${peer.scaler.spec.redis.name}\0${queue}`) ?? 0
      // One that is not counted, or not yet, sees the share that it would have.
      const all = counted.has(peer) ? sum : sum + own
      return all <= own ? 1 : own / all
    },
  }
}

function targetOf({ scaler: { namespace, spec } }: Peer): string {
  return `${namespace}/${spec.scaleTargetRef.name}`
}

function older(a: Peer, b: Peer): boolean {
  const [one, other] = [Date.parse(a.scaler.creationTimestamp), Date.parse(b.scaler.creationTimestamp)]
  return one !== other ? one < other : a.scaler.uid < b.scaler.uid
}
