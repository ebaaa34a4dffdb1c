import type { Scaler } from './api.ts'
import type { ApiServer } from './apiserver.ts'
import { processesIn } from './observe.ts'
import { PROTECTIONS, type Pod } from './pods.ts'
import { annotatePod } from './resources.ts'
import type { RedisView } from './view.ts'

/** A pod is protected once a job of it has run for so long. Milliseconds. */
const LONG_MS = 60_000

/**
 * Tells cluster autoscalers not to disturb pods in which a job runs for longer than a minute, and takes that back when none
 * does. Only values of ours are touched.
 */
export async function protect(api: ApiServer, scaler: Scaler, pods: readonly Pod[], view: RedisView): Promise<void> {
  for (const pod of pods) {
    const oldest = Math.min(...processesIn(view, pod).flatMap(({ load }) => load.jobs.map(({ sinceMs }) => sinceMs)))
    const busy = view.reading.now - oldest >= LONG_MS
    const changes: Record<string, string | null> = {}
    for (const protector of scaler.spec.protect) {
      const { name, value } = PROTECTIONS[protector]
      const present = pod.annotations[name]
      if (busy && present === undefined) changes[name] = value
      if (!busy && present === value) changes[name] = null
    }
    if (Object.keys(changes).length > 0) await annotatePod(api, pod, changes)
  }
}
