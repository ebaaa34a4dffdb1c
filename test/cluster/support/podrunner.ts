import { spawnCli, type TestProcess } from '../../support/process.ts'
import { own } from '../../support/scope.ts'
import { PATIENCE_MS, waitFor } from '../../support/wait.ts'
import type { Cluster } from './cluster.ts'
import { environmentOf, expandArgs, type Pod } from './pod.ts'

/** Annotations for the pod template of a Deployment whose pods are real processes on this machine. */
export const RUN_HERE = { 'resqueue.test/run': 'true' } as const

export interface PodRunnerOptions {
  readonly cluster: Cluster
  readonly namespace: string
  /** Added to the environment of every process, over what the pod says. */
  readonly env?: Readonly<Record<string, string>>
  /** What becomes of the container's `args`. Default: `--port 0` goes at the end, because all share one machine. */
  readonly args?: (args: readonly string[], pod: Pod) => readonly string[]
  /** A line of its output that makes the pod ready. Default: `"worker started"`. */
  readonly readyLine?: string
  /**
   * The process of a pod that was deleted without grace: `end` as a kubelet does that hears of it, `leave` as one that
   * does not.
   */
  readonly onVanish?: 'end' | 'leave'
}

/** A pod and the process that is its first container. */
export interface RunningPod {
  readonly name: string
  readonly uid: string
  readonly process: TestProcess
  /** How often its container was started again. */
  readonly restarts: number
}

/** A kubelet in small: it runs `resqueue` on this machine for each annotated pod that has a node. */
export interface PodRunner {
  /** Pods whose process runs. */
  readonly pods: readonly RunningPod[]
  /** Waits until that pod's process runs and is ready. */
  pod(name: string): Promise<RunningPod>
  /** Waits until exactly so many pods run and are ready, and none is ending. */
  settled(count: number, timeoutMs?: number): Promise<readonly RunningPod[]>
  /** Ends all processes at once and leaves the pods alone. Runs with the test's end at the latest. */
  stop(): Promise<void>
}

interface Entry {
  readonly pod: Pod
  process: TestProcess | undefined
  ready: boolean
  restarts: number
  /** When the container may be started again. */
  notBefore: number
  /** When TERM turns into KILL; undefined while the pod is wanted. */
  killAt: number | undefined
}

const LOOK_EVERY_MS = 100
const MAX_BACKOFF_MS = 10_000

/**
 * Does for annotated pods what kwok does for the others: starts their container's `args` as a real `resqueue` process
 * with the pod's environment, reports it as running and ready, starts it again when it ends, and when the pod is
 * deleted sends TERM, KILL at the end of the grace period, and removes the pod.
 */
export function startPodRunner(options: PodRunnerOptions): PodRunner {
  const { cluster, namespace, readyLine = '"worker started"', onVanish = 'end' } = options
  const entries = new Map<string, Entry>()
  const left: TestProcess[] = []
  const over = new AbortController()
  const base = `/api/v1/namespaces/${namespace}/pods`

  const start = async (entry: Entry): Promise<void> => {
    const { pod } = entry
    const container = pod.spec.containers[0]
    if (container === undefined) return
    const env = await environmentOf(cluster, pod)
    const args = expandArgs(container.args ?? [], env)
    const changed = options.args?.(args, pod) ?? [...args, '--port', '0']
    if (over.signal.aborted) return
    entry.process = spawnCli(changed, { env: { ...env, CONTAINER_NAME: container.name, ...options.env } })
    entry.ready = false
    await report(entry)
  }

  const report = async ({ pod, process, ready, restarts }: Entry): Promise<void> => {
    const { name } = pod.spec.containers[0] as { name: string }
    const state = process?.running ? { running: {} } : { waiting: { reason: 'CrashLoopBackOff' } }
    const condition = (type: string, is: boolean): object => ({ type, status: is ? 'True' : 'False' })
    const status = {
      phase: 'Running',
      podIP: '127.0.0.1',
      conditions: [condition('Initialized', true), condition('ContainersReady', ready), condition('Ready', ready)],
      containerStatuses: [{ name, ready, restartCount: restarts, state, image: 'here', imageID: 'here' }],
    }
    const contentType = 'application/strategic-merge-patch+json'
    await cluster.api.call('PATCH', `${base}/${pod.metadata.name}/status`, { body: { status }, contentType })
  }

  const remove = (pod: Pod): Promise<unknown> =>
    cluster.api.call('DELETE', `${base}/${pod.metadata.name}?gracePeriodSeconds=0`, {
      body: { preconditions: { uid: pod.metadata.uid } },
    })

  const end = (entry: Entry, killAt: number): void => {
    if (entry.killAt === undefined) {
      entry.killAt = killAt
      entry.process?.resume()
      entry.process?.signal('SIGTERM')
    }
    if (Date.now() >= entry.killAt) entry.process?.signal('SIGKILL')
  }

  const tend = async (entry: Entry, seen: Pod): Promise<void> => {
    const { deletionTimestamp, deletionGracePeriodSeconds } = seen.metadata
    if (deletionTimestamp !== undefined) {
      // The API server marks such a pod too, a moment before it removes it.
      if (deletionGracePeriodSeconds === 0 && onVanish === 'leave') return
      const first = entry.killAt === undefined
      end(entry, Date.parse(deletionTimestamp))
      if (!entry.process?.running) return void (await remove(entry.pod))
      if (first && entry.ready) {
        entry.ready = false
        await report(entry)
      }
      return
    }
    if (entry.process === undefined) {
      if (Date.now() >= entry.notBefore) await start(entry)
      return
    }
    if (!entry.process.running) {
      entry.process = undefined
      entry.ready = false
      entry.restarts++
      entry.notBefore = Date.now() + Math.min(MAX_BACKOFF_MS, 250 * 2 ** (entry.restarts - 1))
      return report(entry)
    }
    if (!entry.ready && entry.process.lines.some(({ text }) => text.includes(readyLine))) {
      entry.ready = true
      await report(entry)
    }
  }

  const look = async (): Promise<void> => {
    const list = await cluster.api.get<{ items: readonly Pod[] }>(base)
    const here = list.items.filter((pod) => pod.metadata.annotations?.['resqueue.test/run'] !== undefined)
    const seen = new Set(here.map((pod) => pod.metadata.uid))
    for (const [uid, entry] of entries) {
      if (seen.has(uid)) continue
      if (entry.process?.running && onVanish === 'end') end(entry, Date.now() + graceOf(entry.pod))
      else {
        if (entry.process?.running) left.push(entry.process)
        entries.delete(uid)
      }
    }
    for (const pod of here) {
      const { uid } = pod.metadata
      if (pod.spec.nodeName === undefined) {
        if (pod.metadata.deletionTimestamp !== undefined) await remove(pod)
        continue
      }
      const entry = entries.get(uid) ?? {
        pod,
        process: undefined,
        ready: false,
        restarts: 0,
        notBefore: 0,
        killAt: undefined,
      }
      entries.set(uid, entry)
      await tend(entry, pod)
    }
  }

  const running = loop(look, over.signal)
  const stop = async (): Promise<void> => {
    over.abort()
    await running
    const processes = [...[...entries.values()].flatMap(({ process }) => (process ? [process] : [])), ...left]
    await Promise.all(processes.map((process) => process.kill()))
  }
  own(`pods of ${namespace}`, stop)

  const pods = (wanted: (entry: Entry) => boolean): RunningPod[] =>
    [...entries.values()].flatMap((entry) => {
      const { pod, process, restarts } = entry
      if (!process?.running || !wanted(entry)) return []
      return [{ name: pod.metadata.name, uid: pod.metadata.uid, process, restarts }]
    })
  const words = (): string =>
    [...entries.values()]
      .map(
        ({ pod, process, ready }) =>
          `${pod.metadata.name} ready=${ready} ${process?.lines.at(-1)?.text ?? 'not started'}`,
      )
      .join('\n')
  return {
    get pods() {
      return pods(() => true)
    },
    pod: (name) =>
      waitFor(() => pods(({ ready }) => ready).find((pod) => pod.name === name), {
        describe: () => `pod ${name} to be ready:\n${words()}`,
      }),
    settled: (count, timeoutMs = PATIENCE_MS) =>
      waitFor(
        () => {
          const ready = pods((entry) => entry.ready && entry.killAt === undefined)
          return ready.length === count && entries.size === count ? ready : undefined
        },
        { timeoutMs, describe: () => `${count} ready pods:\n${words()}` },
      ),
    stop,
  }
}

async function loop(look: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    // An API server that is stopped or paused is no failure here: the next look sees what there is.
    await look().catch(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

function graceOf(pod: Pod): number {
  return (pod.spec.terminationGracePeriodSeconds ?? 30) * 1000
}
