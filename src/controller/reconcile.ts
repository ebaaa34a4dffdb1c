import { settlesWithin } from '../clock.ts'
import { messageOf } from '../errors.ts'
import { selectQueues } from '../queue/selection.ts'
import type { ScalerSight } from '../telemetry/controllermetrics.ts'
import { act, readScale, tidy } from './act.ts'
import type { Scaler } from './api.ts'
import { httpStatusOf } from './apiserver.ts'
import { REASONS, type Saying } from './conditions.ts'
import type { Connection } from './connections.ts'
import { decide, lookaheadSeconds, type Hold } from './decide.ts'
import { observe } from './observe.ts'
import { isActive, isOf, type Pod } from './pods.ts'
import { protect } from './protect.ts'
import { readScaler } from './readscaler.ts'
import { report, reportInvalid, type Report } from './report.ts'
import type { Sharing } from './sharing.ts'
import { createState, type State } from './state.ts'
import type { RedisView } from './view.ts'
import type { Turn } from './workqueue.ts'
import type { World } from './world.ts'

/** A scale that was read is believed for so long, unless pods of it come or go. Milliseconds. */
const SCALE_MS = 30_000
/** Where the target is not there, or somebody else has it. Milliseconds. */
const IDLE_MS = 10_000
/** How long the first list of pods is waited for. Milliseconds. */
const PODS_MS = 10_000
/** And how long it is not waited for again, because each wait takes a place from other scalers. Milliseconds. */
const UNLISTED_MS = 30_000
/** A scaler that is gone needs no turn; it gets one when it is there again. */
const GONE_MS = Infinity

export interface Reconciler {
  /** One turn: reads what is so, writes the scale at most once and the status at most once. */
  turn(key: string): Promise<Turn>
  /** A pod of a namespace changed: scales that may count it are read anew. */
  podChanged(namespace: string, pod: Pod): void
  /** Whether a scaler is known to have no Deployment to scale. */
  lacksTarget(key: string): boolean
}

/** What stands in the way of scaling: said in the condition Ready, while the scale is left alone. */
class Obstacle {
  readonly saying: Saying
  readonly afterMs: number

  constructor(reason: string, message: string, afterMs = IDLE_MS) {
    this.saying = { status: 'False', reason, message }
    this.afterMs = afterMs
  }
}

/** Of a turn that came to no decision. */
const NOTHING = { observed: undefined, decision: undefined, waits: undefined }
/** What metrics show until a turn has looked: what an earlier one saw may not be so any more. */
const UNSEEN = { replicas: undefined, ready: undefined, decision: undefined }

export function createReconciler(world: World, sharing: () => Sharing): Reconciler {
  const { clock, term, log, recorder, metrics } = world
  const states = new Map<string, State>()

  const stateOf = (key: string, uid: string): State => {
    const state = states.get(key) ?? createState(key, uid, log, clock)
    states.set(key, state)
    return state
  }

  const leave = async (key: string): Promise<void> => {
    const state = states.get(key)
    states.delete(key)
    metrics.forget(key)
    state?.viewer?.want(key, undefined, 0)
    await state?.abandon?.().catch((error: unknown) => {
      log.warn({ scaler: key, 'error.message': messageOf(error) }, 'pods of a removed scaler stay marked for a minute')
    })
    await state?.unprotect?.().catch((error: unknown) => {
      log.warn({ scaler: key, 'error.message': messageOf(error) }, 'pods of a removed scaler stay protected')
    })
  }

  /** The Redis that the scaler names, where no older scaler has its target. */
  const connectionFor = async (state: State, scaler: Scaler): Promise<Connection | Obstacle> => {
    const { spec, namespace } = scaler
    const rival = sharing().rivalOf(state.key)
    if (rival) {
      await state.abandon?.()
      const message = `${rival.key} is older and scales ${spec.scaleTargetRef.name}: this one writes nothing`
      await recorder.record(scaler, 'TargetConflict', message)
      return new Obstacle(REASONS.targetConflict, message)
    }
    const found = world.connections.find(spec.redis.name, namespace)
    if (found.kind === 'ok') return found.connection
    await state.abandon?.()
    return new Obstacle(
      found.kind === 'unknown' ? REASONS.connectionUnknown : REASONS.connectionForbidden,
      found.message,
    )
  }

  /** The pods of the target; its scale is in the state then. Both are believed while they are young enough. */
  const targetOf = async (state: State, scaler: Scaler): Promise<readonly Pod[] | Obstacle> => {
    const { spec, namespace } = scaler
    const source = world.pods(namespace)
    if (!state.scale || clock.monotonic() - state.scale.readAt > SCALE_MS) {
      try {
        await readScale(world, state, scaler)
      } catch (error) {
        if (httpStatusOf(error) === undefined) throw error
        return new Obstacle(REASONS.targetUnavailable, messageOf(error))
      }
    }
    const { scale } = state
    state.lacksTarget = !scale
    if (!scale) {
      const message = `There is no Deployment ${spec.scaleTargetRef.name} in ${namespace}`
      await recorder.record(scaler, 'TargetNotFound', message)
      return new Obstacle(REASONS.targetNotFound, message)
    }
    if (!source.synced) await settlesWithin(source.ready, PODS_MS, term.signal)
    if (!source.synced) {
      void source.ready.then(() => world.enqueue(state.key))
      return new Obstacle(REASONS.targetUnavailable, `The pods of ${namespace} cannot be listed`, UNLISTED_MS)
    }
    const pods = source.of(spec.scaleTargetRef.name)
    return pods.filter((pod) => scale.fits(pod.labels) && isOf(pod, spec.scaleTargetRef.name))
  }

  /** A look at Redis, for what the scaler's queues hold. */
  const lookFor = async (state: State, scaler: Scaler, connection: Connection): Promise<RedisView | Obstacle> => {
    const { spec } = scaler
    const viewer = world.viewer(connection)
    if (state.viewer !== viewer) state.viewer?.want(state.key, undefined, 0)
    state.viewer = viewer
    viewer.want(state.key, selectQueues(spec.queues), lookaheadSeconds(spec, state.starts.p90) * 1000)
    try {
      const view = await viewer.look(spec.pollingIntervalSeconds * 250)
      if (state.redisAway) await recorder.record(scaler, 'RedisRecovered', 'Redis answers again')
      state.redisAway = false
      return view
    } catch (error) {
      if (term.signal.aborted) throw error
      const message = `${messageOf(error)} Replicas stay at ${state.scale?.value.replicas}.`
      if (!state.redisAway) await recorder.record(scaler, 'RedisUnavailable', message)
      state.redisAway = true
      return new Obstacle(REASONS.redisUnavailable, message, spec.pollingIntervalSeconds * 1000)
    }
  }

  /** Keeps cluster autoscalers from pods with long jobs. Where that fails it is said once, and scaling goes on. */
  const protectLong = async (state: State, { spec, namespace }: Scaler, pods: readonly Pod[], view: RedisView) => {
    const present = (): Pod[] => world.pods(namespace).of(spec.scaleTargetRef.name).filter(isActive)
    state.unprotect = () => protect(world.api, [], present(), view)
    try {
      await protect(world.api, spec.protect, pods.filter(isActive), view)
      state.protectFails = false
    } catch (error) {
      if (term.signal.aborted) throw error
      if (!state.protectFails)
        log.warn({ scaler: state.key, 'error.message': messageOf(error) }, 'pods cannot be protected; scaling goes on')
      state.protectFails = true
    }
  }

  const scale = async (state: State, scaler: Scaler): Promise<Turn> => {
    const { spec } = scaler
    const pollMs = spec.pollingIntervalSeconds * 1000
    const nothing = { scaler, ...NOTHING }
    let sight: ScalerSight = { ...UNSEEN, draining: state.drain.names.length }
    const blocked = async ({ saying, afterMs }: Obstacle, found: Omit<Report, 'trouble'> = nothing): Promise<Turn> => {
      metrics.held(state.key, saying.reason)
      metrics.observed(state.key, sight)
      await report(world, state, { ...found, trouble: saying })
      return { afterMs }
    }
    const connection = await connectionFor(state, scaler)
    if (connection instanceof Obstacle) return blocked(connection)
    const pods = await targetOf(state, scaler)
    if (pods instanceof Obstacle) return blocked(pods)
    const replicas = state.scale?.value.replicas ?? 0
    sight = { ...sight, replicas, ready: pods.filter((pod) => isActive(pod) && pod.ready).length }
    const view = await lookFor(state, scaler, connection)
    if (view instanceof Obstacle) return blocked(view)

    const hold = holdOf(state, clock.monotonic())
    const observed = observe({
      scaler,
      selection: selectQueues(spec.queues),
      view,
      pods,
      replicas,
      isGone: (name) => world.pods(scaler.namespace).gone.has(name),
      starts: state.starts,
      shareOf: (queue) => sharing().shareOf(state.key, queue),
      hold,
      now: clock.now() + world.api.aheadMs,
    })
    const decision = decide(spec, observed.observation, state.memory, clock.monotonic())
    state.memory = decision.nextMemory
    sight = { ...sight, decision }
    metrics.observed(state.key, sight)
    const found = { scaler, observed, decision, waits: undefined }
    // Long jobs are to be left alone whether or not the scale may be written.
    if (!world.dryRun && term.valid()) await protectLong(state, scaler, pods, view)
    const action = { scaler, store: connection.store, view, pods, observed, decision }
    if (!world.dryRun) await tidy(world, state, action)
    if (hold) {
      await state.abandon?.()
      await recorder.record(scaler, 'ReplicasContested', hold.message)
      return blocked(new Obstacle(hold.reason, hold.message, pollMs), found)
    }
    metrics.held(state.key, undefined)
    if (spec.paused || world.dryRun) {
      await state.abandon?.()
      await report(world, state, { ...found, trouble: undefined })
      return { afterMs: pollMs }
    }
    const { afterMs = pollMs, waits } = await act(world, state, action)
    await report(world, state, { ...found, waits, trouble: undefined })
    return { afterMs: Math.min(afterMs, pollMs) }
  }

  const work = async (key: string): Promise<Turn> => {
    const object = world.scaler(key)
    if (!object) {
      await leave(key)
      return { afterMs: GONE_MS }
    }
    // One that was deleted and made anew may have another target.
    const known = states.get(key)
    if (known && known.uid !== object.metadata.uid) await leave(key)
    const state = stateOf(key, object.metadata.uid)
    const read = readScaler(object)
    if (!read.ok) {
      metrics.held(key, REASONS.invalidSpec)
      metrics.observed(key, { ...UNSEEN, draining: state.drain.names.length })
      await reportInvalid(world, state, object, read)
      return { afterMs: IDLE_MS }
    }
    const { scaler } = read
    if (state.generation !== scaler.generation) {
      state.generation = scaler.generation
      state.writes.forget()
      state.scale = undefined
    }
    return scale(state, scaler)
  }

  /** Says in the status that a turn failed, as far as that can be said. */
  const confess = async (key: string, error: unknown): Promise<void> => {
    const [object, state] = [world.scaler(key), states.get(key)]
    const read = object && readScaler(object)
    if (!state || !read?.ok) return
    metrics.held(key, REASONS.turnFailed)
    const trouble: Saying = { status: 'False', reason: REASONS.turnFailed, message: messageOf(error) }
    await report(world, state, { scaler: read.scaler, ...NOTHING, trouble })
  }

  return {
    turn: async (key) => {
      const began = clock.monotonic()
      try {
        return await work(key)
      } catch (error) {
        if (term.signal.aborted) return { afterMs: IDLE_MS }
        metrics.failed()
        log.warn({ scaler: key, 'error.message': messageOf(error) }, 'a turn failed; tried again')
        // What failed may well be the status itself.
        await confess(key, error).catch(() => undefined)
        // What was read may be why: read it anew.
        const state = states.get(key)
        if (state) state.scale = undefined
        return { failed: error }
      } finally {
        metrics.turn((clock.monotonic() - began) / 1000)
      }
    },
    podChanged: (namespace, pod) => {
      for (const [key, { scale: known }] of states) {
        if (!key.startsWith(`${namespace}/`) || !known?.fits(pod.labels)) continue
        known.readAt = Math.min(known.readAt, clock.monotonic() - SCALE_MS + 1000)
        world.enqueue(key, 300)
      }
    },
    lacksTarget: (key) => states.get(key)?.lacksTarget ?? false,
  }
}

/** Why nothing may be written although all could be read. */
function holdOf(state: State, now: number): Hold | null {
  if (!state.writes.contested(now)) return null
  return {
    reason: REASONS.contested,
    message:
      'three of the last five writes of the scale were undone: an HPA, KEDA or a deploy tool writes it too. Nothing is written until an hour after them, or until the spec is edited',
  }
}
