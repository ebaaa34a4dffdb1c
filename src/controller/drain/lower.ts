import type { Clock } from '../../clock.ts'
import { markDraining } from '../../queue/draining.ts'
import { inRollout, isActive, isDrainedCost, isOf, podOf, safeVictims, type Pod, type PodObject } from '../pods.ts'
import { collection, getScale, listAll, PODS, putScale } from '../resources.ts'
import { confirmMarks, GIVEN_UP_MS, podKeyOf } from './marks.ts'
import { namesOf, SOON_MS, type DrainInput, type DrainStep } from './step.ts'
import type { Victim, Victims } from './victims.ts'

/** From confirming to lowering the scale, at most. Milliseconds. */
const CONFIRMED_MS = 5000

/**
 * Lowers the scale by the victims that are `ready`, as far as that kills nobody else: reads what is so now, confirms
 * that they run nothing, marks them for as long as Kubernetes may take, and writes.
 */
export async function lower(
  input: DrainInput,
  victims: Victims,
  ready: readonly Victim[],
  clock: Clock,
): Promise<DrainStep> {
  const { api, store, term, scaler, desired, fleet, waiting } = input
  const { namespace, spec } = scaler
  const read = await getScale(api, namespace, spec.scaleTargetRef.name)
  if (read.kind !== 'ok' || read.scale.replicas !== input.scale.replicas) return { kind: 'changed' }
  const listed = await listAll<PodObject>(api, collection(PODS, namespace), {
    query: { labelSelector: read.scale.selector },
  })
  const pods = listed.items.map(podOf).filter((pod) => isActive(pod) && isOf(pod, spec.scaleTargetRef.name))
  const mine = [...ready, ...[...victims.values()].filter(({ releasedAt }) => releasedAt !== undefined)]
  const confirmed = mine.length === 0 ? new Set<string>() : await confirmMarks(input, mine)
  const confirmedAt = clock.monotonic()
  const mayDie = (pod: Pod): boolean => confirmed.has(podKeyOf(pod))
  // A mark that is lost, as in a failover, is set again at the next step; what is left may be too short or too long.
  for (const victim of mine) victim.renewedAt = -Infinity
  // Cost managers write costs too. Ours is written again at the next step: without it the pod would wait for ever.
  const lost = ready.filter(({ pod }) => pods.some((one) => one.uid === pod.uid && !isDrainedCost(one)))
  for (const victim of lost) Object.assign(victim, { costAt: undefined, costsLost: victim.costsLost + 1 })
  const safe = safeVictims(pods, Math.max(0, pods.length - desired), mayDie)
  const replicas = Math.max(desired, pods.length - safe)
  if (replicas >= read.scale.replicas) {
    const others = `another program writes the deletion cost of ${namesOf(lost.map(({ pod }) => pod))}`
    const why = lost.length > 0 ? others : 'pods that would die first still run jobs'
    return { kind: 'waiting', afterMs: SOON_MS, why }
  }
  if (inRollout(pods) && !(replicas === 0 && safe === pods.length))
    return { kind: 'waiting', afterMs: 2000, why: 'a rollout is under way' }
  if ((fleet === 'foreign' || fleet === 'unaware') && waiting > 0)
    return { kind: 'waiting', afterMs: 2000, why: 'jobs wait, and these workers know no marks' }
  const given = mine.filter(({ pod }) => mayDie(pod)).map((victim) => ({ victim, before: victim.releasedAt }))
  // The next leader took our marks away: one that is set now would stay.
  if (!term.valid()) return { kind: 'changed' }
  // Before the scale is lowered: we may be killed right after it.
  const keys = given.map(({ victim }) => podKeyOf(victim.pod))
  const kept = keys.length === 0 ? new Set() : await markDraining(store, term.token, keys, GIVEN_UP_MS)
  if (kept.size < keys.length || !term.valid() || clock.monotonic() - confirmedAt > CONFIRMED_MS)
    return { kind: 'changed' }
  for (const { victim } of given) victim.releasedAt = clock.monotonic()
  input.sending(replicas)
  const written = await putScale(api, namespace, spec.scaleTargetRef.name, read.scale, replicas)
  if (written.kind !== 'ok') {
    for (const { victim, before } of given) victim.releasedAt = before
    return { kind: 'changed' }
  }
  return { kind: 'scaled', from: read.scale.replicas, scale: written.scale }
}
