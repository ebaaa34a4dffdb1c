import { systemClock, type Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { unmarkDraining } from '../queue/draining.ts'
import type { ApiServer } from './apiserver.ts'
import { lower } from './drain/lower.ts'
import { clearMarks, podKeyOf, MOST_MARKS, renewMarks } from './drain/marks.ts'
import { COST_MS, GATHER_MS, namesOf, SOON_MS, type DrainInput, type DrainStep } from './drain/step.ts'
import { unmarkedVictim, type Victim, type Victims } from './drain/victims.ts'
import { heldBy, mayRun } from './observe.ts'
import { chooseVictims, COST_ANNOTATION, DRAINED_COST, inRollout, isActive, isDrainedCost, type Pod } from './pods.ts'
import { annotatePod } from './resources.ts'
import type { RedisView } from './view.ts'

/**
 * A victim that is still there after its target has had room for it for so long was spared: others died, or the scale
 * was raised again. Until then a controller manager that is late may yet act on the lower scale. Milliseconds.
 */
const SPARED_MS = 30_000
/** Marks of other leaders are taken away this long after a term began: by then theirs is over. Milliseconds. */
const OTHERS_MS = 5000
/** How often the cost of a pod is written again where another program wrote over it. */
const MOST_COSTS = 3
/** Annotations written at a time. */
const MOST_PATCHES = 8

/** Lowers the scale of one target so that no pod with a job dies. docs/controller.md, "Scaling down". */
export interface Drain {
  /** Pods that are being drained now and not given up yet. */
  readonly names: readonly string[]
  /** One step towards `desired` replicas, which are fewer than there are. */
  step(input: DrainInput): Promise<DrainStep>
  /** Lets all victims work again that are not given up yet. */
  undrain(input: Pick<DrainInput, 'api' | 'store' | 'term' | 'queues'>): Promise<void>
  /**
   * Takes away what former leaders left: their marks and their costs. Nothing is taken from pods while the target has
   * more of them than its `replicas`: others would die in their place. To be called at every turn.
   */
  tidy(input: Pick<DrainInput, 'api' | 'store' | 'term' | 'queues' | 'pods'> & { replicas: number }): Promise<void>
}

export function createDrain(log: Logger, clock: Clock = systemClock): Drain {
  const victims: Victims = new Map()
  /** Pods that took too long, and until when they are left alone. */
  const spared = new Map<string, number>()
  /** Since when each pod was seen idle, in every look: for workers that know no marks. */
  const idleSince = new Map<string, number>()
  let othersCleared: string | undefined

  const notReleased = (): Victim[] => [...victims.values()].filter(({ releasedAt }) => releasedAt === undefined)

  const setCost = async (api: ApiServer, pods: readonly Pod[], value: string | null): Promise<void> => {
    for (let at = 0; at < pods.length; at += MOST_PATCHES) {
      const page = pods.slice(at, at + MOST_PATCHES)
      await Promise.all(page.map((pod) => annotatePod(api, pod, { [COST_ANNOTATION]: value })))
    }
  }

  const letGo = async (
    { api, store, term, queues }: Pick<DrainInput, 'api' | 'store' | 'term' | 'queues'>,
    which: readonly Victim[],
  ): Promise<void> => {
    if (which.length === 0 || !term.valid()) return
    const pods = podsOf(which)
    // Work first: a cost that stays for a moment harms nobody, since nothing is lowered without looking at costs.
    await unmarkDraining(store, term.token, pods.map(podKeyOf), queues.slice(0, MOST_MARKS))
    for (const { uid } of pods) victims.delete(uid)
    await setCost(api, podsOf(which.filter(({ costAt }) => costAt !== undefined)), null)
  }

  /** Whether a pod runs nothing, as far as the look tells: for ours a look after the mark, for others two looks. */
  const isIdle = ({ pod, since }: Victim, { view, fleet, scaler }: DrainInput): boolean => {
    if (mayRun(view, pod) || view.at <= since) return false
    if (fleet === 'ours') return true
    const from = idleSince.get(pod.uid)
    return from !== undefined && view.at - from >= scaler.spec.pollingIntervalSeconds * 1000
  }

  const watchIdle = (pods: readonly Pod[], view: RedisView): void => {
    const present = new Set<string>()
    for (const pod of pods) {
      present.add(pod.uid)
      if (mayRun(view, pod)) idleSince.delete(pod.uid)
      else if (!idleSince.has(pod.uid)) idleSince.set(pod.uid, view.at)
    }
    for (const uid of idleSince.keys()) if (!present.has(uid)) idleSince.delete(uid)
  }

  /** Those that run jobs for too long, or are not to be told from others, work on and are left alone for a while. */
  const spareLate = async (input: DrainInput): Promise<void> => {
    const { scaleDown, behavior } = input.scaler.spec
    const now = clock.monotonic()
    const timeoutMs = scaleDown.drainTimeoutSeconds * 1000
    const aloneMs = Math.max(behavior.scaleDown.stabilizationWindowSeconds, 10) * 1000
    const spare = async (which: readonly Victim[], why: string): Promise<void> => {
      if (which.length === 0) return
      for (const { pod } of which) spared.set(pod.uid, now + aloneMs)
      await letGo(input, which)
      input.record('DrainTimedOut', `${namesOf(podsOf(which))} ${why}`)
    }
    const isLate = (victim: Victim): boolean =>
      timeoutMs > 0 && now - victim.since > timeoutMs && !isIdle(victim, input)
    await spare(notReleased().filter(isLate), `still run jobs after ${timeoutMs / 1000} s and work on`)
    await spare(
      notReleased().filter(({ costsLost }) => costsLost > MOST_COSTS),
      'cannot be given up: another program writes deletion costs',
    )
  }

  /** Who is to go of those that stay so far. All other victims work again. */
  const choose = async (input: DrainInput, staying: readonly Pod[]): Promise<readonly Pod[]> => {
    const { view, desired } = input
    const now = clock.monotonic()
    const chosen = chooseVictims(staying, Math.max(0, staying.length - desired), {
      held: (pod) => Math.max(heldBy(view, pod), mayRun(view, pod) ? 1 : 0),
      preferred: ({ uid }) => victims.has(uid),
      spared: ({ uid }) => (spared.get(uid) ?? -Infinity) > now,
    })
    const uids = new Set(chosen.map(({ uid }) => uid))
    await letGo(
      input,
      notReleased().filter(({ pod }) => !uids.has(pod.uid)),
    )
    return chosen
  }

  /** From here on the chosen take no job. */
  const mark = async ({ store, term, scale, desired, record }: DrainInput, chosen: readonly Pod[]): Promise<void> => {
    const began = victims.size === 0
    // Known before the answer, which may be late: then these marks are ours to take away all the same.
    for (const pod of chosen) if (!victims.has(pod.uid)) victims.set(pod.uid, unmarkedVictim(pod))
    await renewMarks({ store, term }, victims, [...victims.values()], clock)
    if (began && victims.size > 0)
      record('DrainStarted', `Draining ${namesOf(chosen)} to go from ${scale.replicas} to ${desired} replicas`)
  }

  return {
    get names() {
      return notReleased()
        .map(({ pod }) => pod.name)
        .sort()
    },
    undrain: (input) => letGo(input, notReleased()),
    tidy: async ({ api, store, term, queues, pods, replicas }) => {
      if (!term.valid()) return
      const active = pods.filter(isActive)
      const present = new Set(active.map(({ uid }) => uid))
      for (const uid of victims.keys()) if (!present.has(uid)) victims.delete(uid)
      const now = clock.monotonic()
      for (const [uid, until] of spared) if (!present.has(uid) || until <= now) spared.delete(uid)
      const released = [...victims.values()].filter(({ releasedAt }) => releasedAt !== undefined)
      // The controller manager may be away: it goes on with whom it finds then.
      if (active.length > replicas && !inRollout(active)) {
        for (const victim of released) victim.releasedAt = now
        return renewMarks({ store, term }, victims, released, clock)
      }
      await letGo(
        { api, store, term, queues },
        released.filter(({ releasedAt = now }) => now - releasedAt > SPARED_MS),
      )
      const left = active.filter((pod) => isDrainedCost(pod) && !victims.has(pod.uid))
      if (othersCleared !== term.token && now - term.since > OTHERS_MS) {
        const cleared = await clearMarks({ store, term, queues }, victims, active)
        othersCleared = term.token
        if (cleared > 0) log.info({ pods: cleared }, 'removed drain marks of an earlier leader')
      }
      if (left.length > 0) {
        await setCost(api, left, null).catch((error: unknown) => {
          log.warn({ 'error.message': messageOf(error) }, 'deletion costs of an earlier leader could not be taken away')
        })
      }
    },
    step: async (input) => {
      const { api, term, pods, scale, view, desired } = input
      const active = pods.filter(isActive)
      const staying = active.filter(({ uid }) => victims.get(uid)?.releasedAt === undefined)
      watchIdle(active, view)
      if (inRollout(active) && desired > 0) {
        await letGo(input, notReleased())
        return { kind: 'waiting', afterMs: 2000, why: 'a rollout is under way' }
      }

      await spareLate(input)
      const chosen = await choose(input, staying)
      if (!term.valid()) return { kind: 'changed' }
      await mark(input, chosen)

      // Costs: these die first.
      const idle = notReleased().filter((victim) => isIdle(victim, input))
      const uncosted = idle.filter(({ costAt }) => costAt === undefined)
      if (uncosted.length > 0) {
        if (!term.valid()) return { kind: 'changed' }
        await setCost(api, podsOf(uncosted), String(DRAINED_COST))
        const at = clock.monotonic()
        for (const victim of uncosted) victim.costAt = at
        return { kind: 'waiting', afterMs: COST_MS, why: `${namesOf(podsOf(uncosted))} are idle` }
      }
      const ready = idle.filter(({ costAt }) => costAt !== undefined && clock.monotonic() - costAt >= COST_MS)
      if (ready.length < idle.length)
        return { kind: 'waiting', afterMs: SOON_MS, why: 'deletion costs were just written' }
      const busy = notReleased().filter((victim) => !ready.includes(victim))
      const isLong = ready.some(({ costAt = Infinity }) => clock.monotonic() - costAt >= GATHER_MS)
      if (ready.length > 0 && busy.length > 0 && !isLong)
        return { kind: 'waiting', afterMs: SOON_MS, why: `${namesOf(podsOf(busy))} may be idle in a moment` }
      if (ready.length > 0 || staying.length < scale.replicas) return lower(input, victims, ready, clock)
      if (busy.length === 0) return { kind: 'waiting', afterMs: 2000, why: 'no pod can be given up yet' }
      return { kind: 'waiting', afterMs: SOON_MS, why: `${namesOf(podsOf(busy))} still run jobs, or may` }
    },
  }
}

function podsOf(which: readonly Victim[]): readonly Pod[] {
  return which.map(({ pod }) => pod)
}
