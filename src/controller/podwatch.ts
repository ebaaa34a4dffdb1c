import type { ApiServer } from './apiserver.ts'
import { watchKind } from './listwatch.ts'
import { deploymentOf, podOf, type Pod, type PodObject } from './pods.ts'
import { collection, PODS } from './resources.ts'
import type { PodSource } from './world.ts'

/** How long a pod that is gone is remembered: as long as its process might still be listed. Milliseconds. */
const VANISHED_MS = 10 * 60_000
const MOST_VANISHED = 10_000

/** The pods of the namespaces that have scalers, watched from the first time they are asked for. */
export interface Pods {
  readonly of: (namespace: string) => PodSource
  /** Only where they are watched already. */
  readonly known: (namespace: string) => PodSource | undefined
}

export function openPods(
  api: ApiServer,
  signal: AbortSignal,
  broke: (error: unknown) => void,
  changed: (namespace: string, pod: Pod) => void,
): Pods & { readonly done: Promise<void> } {
  const sources = new Map<string, PodSource>()
  const running = new Set<Promise<void>>()

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
    const run = watch.run(signal)
    running.add(run)
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
  const done = new Promise<void>((resolve) => {
    const end = (): void => void Promise.all(running).then(() => resolve())
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
  return {
    done,
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
