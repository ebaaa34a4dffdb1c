import { sleep, systemClock, type Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { ControllerView, ScalerMetrics } from '../telemetry/controllermetrics.ts'
import type { Checks } from '../telemetry/health.ts'
import type { Scaler } from './api.ts'
import type { ApiServer } from './apiserver.ts'
import { createCaretaker, tended } from './caretaker.ts'
import type { Connection, Connections } from './connections.ts'
import { createRecorder } from './events.ts'
import { elect, type ElectionEnd, type Term } from './leader.ts'
import { openPods } from './podwatch.ts'
import { SPEC_FIELDS } from './readscaler.ts'
import { createReconciler } from './reconcile.ts'
import { servedSpecFields } from './resources.ts'
import { openScalers } from './scalerwatch.ts'
import { createSharing, type Sharing } from './sharing.ts'
import { tellUnserved } from './unserved.ts'
import { createViewer, type Viewer } from './view.ts'
import { createWorkQueue, type WorkQueue } from './workqueue.ts'
import { keyOf, type World } from './world.ts'

export interface ControllerOptions {
  readonly api: ApiServer
  readonly connections: Connections
  /** Kubernetes namespaces whose scalers are served; undefined: all of them. */
  readonly namespaces: readonly string[] | undefined
  /** `<namespace>/<name of the Lease>`: scalers that name another controller are not ours. */
  readonly name: string
  readonly lease: { readonly namespace: string; readonly name: string } | undefined
  /** Who we are: different in every process. */
  readonly identity: string
  readonly dryRun: boolean
  readonly log: Logger
  readonly metrics: ScalerMetrics
  readonly clock?: Clock
}

export interface Controller {
  readonly view: ControllerView
  readonly checks: Checks
  /** Runs until `signal` aborts, or until leadership is lost. */
  run(signal: AbortSignal): Promise<ElectionEnd>
}

/**
 * Scalers worked at a time. A turn is mostly waiting for a look at Redis that many share, and those of a Redis that
 * hangs must not take the places of others.
 */
const CONCURRENCY = 1000
/** How long what scalers have to do with each other is believed. Milliseconds. */
const SHARING_MS = 1000
/** The files of the connections are looked at, and the CRD is compared, this often. Milliseconds. */
const REFRESH_MS = 10_000
const CRD_MS = 300_000
/** Jobs that nobody serves are counted this often. Milliseconds. */
const COUNT_MS = 30_000
/** A turn of the leader's loop is not to be later than this. Milliseconds. */
const STUCK_MS = 60_000

export function createController(options: ControllerOptions): Controller {
  const { api, connections, namespaces, name, lease, identity, dryRun, log, metrics, clock = systemClock } = options
  let term: Term | undefined
  let queue: WorkQueue | undefined
  let loopAt = clock.monotonic()
  let stopping = false
  /** Scalers that came, went or were edited so far. */
  let edits = 0

  const broke = (error: unknown): void => {
    metrics.watchBroke()
    log.warn({ 'error.message': messageOf(error) }, 'a watch broke and is restarted')
  }
  const scalers = openScalers({
    api,
    namespaces,
    name,
    log,
    clock,
    broke,
    refused: metrics.watchBroke,
    edited: (key) => {
      edits++
      queue?.add(key)
    },
  })

  const lead = async (now: Term): Promise<void> => {
    term = now
    let outdated: readonly string[] = []
    /** By the name of the connection: there is another one as soon as anything about it has changed. */
    const views = new Map<string, { readonly connection: Connection; readonly viewer: Viewer }>()
    const pods = openPods(api, now.signal, broke, (namespace, pod) => reconciler.podChanged(namespace, pod))

    const viewOf = (connection: Connection): Viewer => {
      const found = views.get(connection.name)
      if (found?.connection === connection) return found.viewer
      const viewer = tended(
        createViewer(connection.store, now.signal, clock),
        createCaretaker(connection, pods.known, log, metrics.recovered, clock),
        () => !dryRun && now.valid(),
      )
      views.set(connection.name, { connection, viewer })
      return viewer
    }

    let shared: { sharing: Sharing; at: number; edits: number } | undefined
    const sharing = (): Sharing => {
      if (shared?.edits !== edits || clock.monotonic() - shared.at > SHARING_MS) {
        const known = (name: string): readonly string[] => views.get(name)?.viewer.known ?? []
        const works = (key: string, { namespace, spec }: Scaler): boolean =>
          connections.find(spec.redis.name, namespace).kind === 'ok' && !reconciler.lacksTarget(key)
        shared = { sharing: createSharing(scalers.all(), known, works), at: clock.monotonic(), edits }
      }
      return shared.sharing
    }
    const world: World = {
      api,
      connections,
      term: now,
      log,
      clock,
      recorder: createRecorder(api, identity, log, clock),
      metrics,
      dryRun,
      outdated: () => outdated,
      scaler: scalers.get,
      pods: pods.of,
      viewer: viewOf,
      enqueue: (key, afterMs) => queue?.add(key, afterMs),
    }
    const reconciler = createReconciler(world, sharing)
    const work = createWorkQueue({ work: reconciler.turn, concurrency: CONCURRENCY, clock })
    queue = work
    for (const object of scalers.all()) work.add(keyOf(object))
    const refresh = async (): Promise<void> => {
      let comparedAt = -Infinity
      let countedAt = -Infinity
      while (!now.signal.aborted) {
        loopAt = clock.monotonic()
        connections.refresh()
        pods.keep(new Set([...scalers.all()].map(({ metadata }) => metadata.namespace)))
        if (clock.monotonic() - comparedAt >= CRD_MS) {
          const served = await servedSpecFields(api, now.signal).catch(() => undefined)
          if (served) outdated = SPEC_FIELDS.filter((field) => !served.includes(field)).map((field) => `spec.${field}`)
          comparedAt = served ? clock.monotonic() : clock.monotonic() - CRD_MS + 30_000
        }
        if (clock.monotonic() - countedAt >= COUNT_MS) {
          countedAt = clock.monotonic()
          void tellUnserved(views.values(), scalers.all(), COUNT_MS, log, metrics.unserved)
        }
        await sleep(REFRESH_MS, now.signal).catch(() => undefined)
      }
    }
    try {
      await Promise.all([work.run(now.signal), refresh()])
      await pods.ended()
    } finally {
      term = undefined
      queue = undefined
    }
  }

  return {
    view: {
      get leading() {
        return term?.valid() ?? false
      },
      get queueDepth() {
        return queue?.depth ?? 0
      },
      get kubeRequests() {
        return api.counts
      },
    },
    checks: {
      live: [
        {
          name: 'leader-loop',
          problem: () => {
            const age = clock.monotonic() - loopAt
            return term === undefined || age < STUCK_MS ? undefined : `it last moved ${Math.round(age / 1000)} s ago`
          },
        },
      ],
      ready: [
        {
          name: 'scalers-listed',
          problem: () => (scalers.listed() ? undefined : 'the WorkerScalers could not be listed yet'),
        },
        { name: 'not-stopping', problem: () => (stopping ? 'the controller is stopping' : undefined) },
      ],
    },
    run: async (signal) => {
      const over = new AbortController()
      const all = AbortSignal.any([signal, over.signal])
      signal.addEventListener('abort', () => (stopping = true), { once: true })
      const watching = scalers.run(all)
      try {
        await Promise.race([scalers.ready, aborted(signal)])
        if (signal.aborted) return 'stopped'
        if (lease) return await elect({ api, ...lease, identity, log, clock }, lead, signal)
        await lead({ token: `${identity}/-`, since: clock.monotonic(), signal, valid: () => !signal.aborted })
        return 'stopped'
      } finally {
        over.abort()
        await watching
      }
    },
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
