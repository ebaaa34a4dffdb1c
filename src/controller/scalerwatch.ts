import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { httpStatusOf, type ApiServer } from './apiserver.ts'
import { watchKind, type Watched } from './listwatch.ts'
import { collection, SCALERS } from './resources.ts'
import { keyOf, type ScalerObject } from './world.ts'

/**
 * On a WorkerScaler: the Lease of the controller that serves it, as `name` or `namespace/name`. Without it every
 * controller in whose scope it is does.
 */
const CONTROLLER_ANNOTATION = 'resqueue.dev/controller'
/**
 * A namespace that was refused is tried about every 10 s: after this long without a refusal the next one is news.
 * Milliseconds.
 */
const REFUSED_MS = 60_000

export interface ScalerWatchOptions {
  readonly api: ApiServer
  /** Kubernetes namespaces whose scalers are served; undefined: all of them. */
  readonly namespaces: readonly string[] | undefined
  /** `<namespace>/<name of the Lease>`: scalers that name another controller are not ours. */
  readonly name: string
  readonly log: Logger
  readonly clock: Clock
  /** Told of what breaks, but for namespaces that refuse. */
  readonly broke: (error: unknown) => void
  /** Told of each refusal of a namespace. */
  readonly refused: () => void
  /** Told of a scaler that came, went or was edited. */
  readonly edited: (key: string) => void
}

/** The scalers that a controller serves, watched for as long as `run` runs. */
export interface Scalers {
  /** By `<namespace>/<name>`. */
  readonly get: (key: string) => ScalerObject | undefined
  readonly all: () => Iterable<ScalerObject>
  /**
   * Whether they are listed, namespaces that refuse left out. Where all refuse the rights are wrong, and another
   * replica may do better.
   */
  readonly listed: () => boolean
  /** Resolves when they are listed. */
  readonly ready: Promise<void>
  /** Lists and watches until `signal` aborts. Never rejects. */
  run(signal: AbortSignal): Promise<unknown>
}

export function openScalers(options: ScalerWatchOptions): Scalers {
  const { api, namespaces, name, log, clock, broke, refused, edited } = options
  const byKey = new Map<string, ScalerObject>()
  const generations = new Map<string, number | undefined>()
  /** Namespaces whose scalers may not be listed, or are no more, and when they were refused last. */
  const refusedAt = new Map<string | undefined, number>()
  const ready = Promise.withResolvers<void>()

  // A scaler's own status makes no turn: only what people write does, and what comes and goes.
  const changed = (uid: string, now: ScalerObject | undefined, before: ScalerObject | undefined): void => {
    const object = now ?? before
    if (!object) return
    const key = keyOf(object)
    if (now) byKey.set(key, now)
    else if (byKey.get(key)?.metadata.uid === uid) byKey.delete(key)
    const { generation } = object.metadata
    if (now && generations.get(uid) === generation) return
    if (now) generations.set(uid, generation)
    else generations.delete(uid)
    edited(key)
  }
  // One namespace must not stop all others.
  const refuse = (namespace: string, error: unknown): void => {
    refused()
    const before = refusedAt.get(namespace) ?? -Infinity
    refusedAt.set(namespace, clock.monotonic())
    if (clock.monotonic() - before < REFUSED_MS) return
    log.warn(
      { namespace, 'error.message': messageOf(error) },
      'the WorkerScalers of a namespace cannot be listed; it is left out until they can',
    )
  }
  const watchOf = (namespace: string | undefined): Watched<ScalerObject> =>
    watchKind<ScalerObject, ScalerObject>({
      api,
      path: collection(SCALERS, namespace),
      keep: (object) => (isServedBy(object, name) ? withoutManagedFields(object) : undefined),
      changed,
      trouble: (error) => {
        const status = httpStatusOf(error)
        if (namespace === undefined || (status !== 403 && status !== 404)) return broke(error)
        refuse(namespace, error)
        look()
      },
    })
  const watches = new Map((namespaces ?? [undefined]).map((namespace) => [namespace, watchOf(namespace)]))
  const listed = (): boolean => {
    const all = [...watches]
    return (
      all.some(([, { synced }]) => synced) && all.every(([namespace, { synced }]) => synced || refusedAt.has(namespace))
    )
  }
  const look = (): void => {
    if (listed()) ready.resolve()
  }
  for (const watch of watches.values()) void watch.ready.then(look)

  return {
    get: (key) => byKey.get(key),
    all: () => byKey.values(),
    listed,
    ready: ready.promise,
    run: (signal) => Promise.all([...watches.values()].map((watch) => watch.run(signal))),
  }
}

/**
 * Two releases in one namespace have a controller each, with a Redis of its own: neither may judge the other's scalers.
 */
function isServedBy({ metadata }: ScalerObject, controller: string): boolean {
  const named = metadata.annotations?.[CONTROLLER_ANNOTATION]
  return named === undefined || (named.includes('/') ? named : `${metadata.namespace}/${named}`) === controller
}

function withoutManagedFields(object: ScalerObject): ScalerObject {
  const { managedFields: _, ...metadata } = object.metadata
  return { ...object, metadata }
}
