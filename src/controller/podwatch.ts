import type { ApiServer } from './apiserver.ts'
import { watchKind } from './listwatch.ts'
import { deploymentOf, podOf, type Pod, type PodObject } from './pods.ts'
import { collection, PODS } from './resources.ts'

/** How long a pod that is gone is remembered: as long as its process might still be listed. Milliseconds. */
const VANISHED_MS = 10 * 60_000
const MOST_VANISHED = 10_000

/** The pods of a namespace. */
export interface PodSource {
  readonly synced: boolean
  readonly ready: Promise<void>
  readonly items: ReadonlyMap<string, Pod>
  /** Pods whose ReplicaSet is named after this Deployment. */
  readonly of: (deployment: string) => readonly Pod[]
  /** Pods that were here and are gone, by uid, with the monotonic ms at which that was seen. */
  readonly vanished: ReadonlyMap<string, number>
}

/** The pods of the namespaces that have scalers, watched from the first time they are asked for. */
export interface Pods {
  readonly of: (namespace: string) => PodSource
  /** Only where they are watched already. */
  readonly known: (namespace: string) => PodSource | undefined
  /** Resolves when no watch runs any more. To be called when the signal has aborted and nobody asks for pods. */
  readonly ended: () => Promise<unknown>
}

export function openPods(
  api: ApiServer,
  signal: AbortSignal,
  broke: (error: unknown) => void,
  changed: (namespace: string, pod: Pod) => void,
): Pods {
  const sources = new Map<string, PodSource>()
  const running: Promise<void>[] = []

  const open = (namespace: string): PodSource => {
    const vanished = new Map<string, number>()
    const byDeployment = new Map<string, Map<string, Pod>>()
    const index = (uid: string, now: Pod | undefined, before: Pod | undefined): void => {
      const name = deploymentOf(now ?? before)
      if (name === undefined) return
      const pods = byDeployment.get(name) ?? new Map<string, Pod>()
      if (now) pods.set(uid, now)
      else pods.delete(uid)
      if (pods.size > 0) byDeployment.set(name, pods)
      else byDeployment.delete(name)
    }
    const watch = watchKind<PodObject, Pod>({
      api,
      path: collection(PODS, namespace),
      keep: podOf,
      changed: (uid, now, before) => {
        index(uid, now, before)
        if (!now) {
          const at = performance.now()
          for (const [old, since] of vanished) {
            if (at - since < VANISHED_MS && vanished.size < MOST_VANISHED) break
            vanished.delete(old)
          }
          vanished.set(uid, at)
        }
        const pod = now ?? before
        if (pod) changed(namespace, pod)
      },
      trouble: broke,
    })
    running.push(watch.run(signal))
    return {
      vanished,
      items: watch.items,
      of: (deployment) => [...(byDeployment.get(deployment)?.values() ?? [])],
      ready: watch.ready,
      get synced() {
        return watch.synced
      },
    }
  }
  return {
    ended: () => Promise.all(running),
    known: (namespace) => sources.get(namespace),
    of: (namespace) => {
      let source = sources.get(namespace)
      if (!source) {
        source = open(namespace)
        sources.set(namespace, source)
      }
      return source
    },
  }
}
