import type { Store } from '../redis/store.ts'
import type { Scaler } from './api.ts'
import type { Decision } from './decide.ts'
import type { Observed } from './observe.ts'
import type { Pod } from './pods.ts'
import { getScale, putScale, type Scale } from './resources.ts'
import { believe, type State } from './state.ts'
import { secondTime } from './times.ts'
import type { RedisView } from './view.ts'
import type { World } from './world.ts'

/** What a turn knows when it comes to act. */
export interface Action {
  readonly scaler: Scaler
  readonly store: Store
  readonly view: RedisView
  /** Of the target. */
  readonly pods: readonly Pod[]
  readonly observed: Observed
  readonly decision: Decision
}

/** What came of it: when to look again, where that is soon, and why a scale-down waits. */
export interface Outcome {
  readonly afterMs?: number
  readonly waits?: string
}

/** Reads the scale anew; undefined where there is no such Deployment. */
export async function readScale(world: World, state: State, scaler: Scaler): Promise<Scale | undefined> {
  const reply = await getScale(world.api, scaler.namespace, scaler.spec.scaleTargetRef.name)
  if (reply.kind !== 'ok') {
    state.scale = undefined
    return undefined
  }
  believe(state, reply.scale, world.clock.monotonic())
  state.writes.read(reply.scale.replicas, world.clock.monotonic())
  return reply.scale
}

/**
 * What is due whether or not the scale may be written: pods that were given up stay marked until they are gone, and
 * what earlier leaders left is taken away. To be called at every turn that may write anything.
 */
export async function tidy(world: World, state: State, action: Action): Promise<void> {
  const scale = state.scale?.value
  const hands = handsOf(world, action)
  state.abandon = () => state.drain.undrain(hands)
  if (scale) await state.drain.tidy({ ...hands, replicas: scale.replicas })
}

/**
 * Brings the target a step towards the decision: up at once, down by draining first. At most one write of the scale.
 */
export async function act(world: World, state: State, action: Action): Promise<Outcome> {
  const { recorder } = world
  const { scaler, view, observed, decision } = action
  const scale = state.scale?.value
  if (!scale) return { afterMs: 0 }
  const hands = handsOf(world, action)
  const drains = scaler.spec.scaleDown.drain
  if (decision.replicas >= scale.replicas || !drains) await state.drain.undrain(hands)
  if (decision.replicas === scale.replicas) return {}
  if (decision.replicas > scale.replicas || !drains) {
    const written = await writeScale(world, state, scaler, decision.replicas)
    if (!written) return { afterMs: 0 }
    await scaled(world, state, scaler, scale.replicas, decision.replicas, decision)
    return {}
  }
  const step = await state.drain.step({
    ...hands,
    scaler,
    scale,
    view,
    fleet: observed.fleet,
    waiting: decision.waiting,
    desired: decision.replicas,
    sending: state.writes.sending,
    record: (reason, note) => void recorder.record(scaler, reason, note),
  })
  if (step.kind === 'waiting') return { afterMs: step.afterMs, waits: `scaling down waits: ${step.why}` }
  if (step.kind === 'changed') {
    await readScale(world, state, scaler)
    return { afterMs: 200 }
  }
  believe(state, step.scale, world.clock.monotonic())
  await scaled(world, state, scaler, step.from, step.scale.replicas, decision)
  return { afterMs: 500 }
}

function handsOf({ api, term }: World, { store, pods, observed }: Action) {
  return { api, term, store, pods, queues: observed.queues }
}

/** Writes the scale, unless it is no longer what was decided by. */
async function writeScale(world: World, state: State, scaler: Scaler, replicas: number): Promise<boolean> {
  const { api, term, clock } = world
  const before = state.scale?.value.replicas
  const scale = await readScale(world, state, scaler)
  if (!scale || scale.replicas !== before || !term.valid()) return false
  state.writes.sending(replicas)
  const reply = await putScale(api, scaler.namespace, scaler.spec.scaleTargetRef.name, scale, replicas)
  if (reply.kind !== 'ok') return false
  believe(state, reply.scale, clock.monotonic())
  return true
}

async function scaled(
  world: World,
  state: State,
  scaler: Scaler,
  from: number,
  to: number,
  { reason, terms }: Decision,
): Promise<void> {
  const { clock, metrics, log, recorder } = world
  state.writes.wrote(to, clock.monotonic())
  state.lastScaleTime = secondTime(clock.now())
  metrics.scaled(state.key, to > from ? 'up' : 'down', reason)
  log.info({ scaler: state.key, from, to, reason, terms }, 'scaled')
  await recorder.record(scaler, 'SuccessfulRescale', `Scaled from ${from} to ${to} replicas: ${reason}`)
}
