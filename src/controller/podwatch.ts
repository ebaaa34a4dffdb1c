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
  /** The names of the latest of those: none of them is a pod's now. */
  readonly gone: ReadonlySet<string>
}

/** The pods of the namespaces that have scalers, watched from the first time they are asked for. */
export interface Pods {
  readonly of: (namespace: string) => PodSource
  /** Only where they are watched already. */
  readonly known: (namespace: string) => PodSource | undefined
  /** Ends the watches of all other namespaces. */
  readonly keep: (namespaces: ReadonlySet<string>) => void
  /** Resolves when no watch runs any more. To be called when the signal has aborted and nobody asks for pods. */
  readonly ended: () => Promise<unknown>
}

export function openPods(
  api: ApiServer,
  signal: AbortSignal,
  broke: (error: unknown) => void,
  changed: (namespace: string, pod: Pod) => void,
): Pods {
  const sources = new Map<string, { readonly source: PodSource; readonly close: () => void }>()
  const running = new Set<Promise<void>>()

  const open = (namespace: string): { readonly source: PodSource; readonly close: () => void } => {
    const vanished = new Map<string, number>()
    const gone = new Set<string>()
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
        if (now) gone.delete(now.name)
        else {
          const at = performance.now()
          for (const [old, since] of vanished) {
            if (at - since < VANISHED_MS && vanished.size < MOST_VANISHED) break
            vanished.delete(old)
          }
          vanished.set(uid, at)
          if (before) gone.add(before.name)
          for (const oldest of gone) {
            if (gone.size <= MOST_VANISHED) break
            gone.delete(oldest)
          }
        }
        const pod = now ?? before
        if (pod) changed(namespace, pod)
      },
      trouble: broke,
    })
    const over = new AbortController()
    const run = watch.run(AbortSignal.any([signal, over.signal]))
    running.add(run)
    void run.finally(() => running.delete(run))
    const source: PodSource = {
      vanished,
      gone,
      items: watch.items,
      of: (deployment) => [...(byDeployment.get(deployment)?.values() ?? [])],
      ready: watch.ready,
      get synced() {
        return watch.synced
      },
    }
    return { source, close: () => over.abort() }
  }
  return {
    ended: () => Promise.all(running),
    known: (namespace) => sources.get(namespace)?.source,
    keep: (namespaces) => {
      for (const [namespace, { close }] of sources) {
        if (namespaces.has(namespace)) continue
        sources.delete(namespace)
        close()
      }
    },
    of: (namespace) => {
      const opened = sources.get(namespace) ?? open(namespace)
      sources.set(namespace, opened)
      return opened.source
    },
  }
}
