import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { podKey } from '../queue/draining.ts'
import { INLINE_LEASE_MS, LEASE_MS, newNonce, type Registration } from '../queue/registry.ts'
import type { Selection } from '../queue/selection.ts'
import type { FailureLists } from '../queue/turn.ts'
import { VERSION } from '../version.ts'

/** Nonces drawn by this very process: it may hold several workers. */
const ownNonces = new Set<string>()

/** What a process can say about itself before it knows Redis. */
export interface Identity {
  readonly host: string
  /** `<uid of the pod>/<container>`: whoever had it before is gone. Empty where one of them is not known. */
  readonly instance: string
  /** `<namespace>/<uid>` of the pod; empty where one of them is not known: then the controller cannot drain it. */
  readonly drainMark: string
  /** A registration under a new nonce. */
  registration(slots: number, queues: Pick<Selection, 'label' | 'skips'>, isolation: string): Registration
}

/**
 * Who this process is. `POD_NAME`, `POD_NAMESPACE`, `POD_UID` and `CONTAINER_NAME` come from the chart (downward API);
 * the host name is the pod's name only by default. The nonce in the host part keeps foreign prunes and restarted
 * containers from ever meeting an equal id (docs/compatibility.md, R12).
 */
export function identify(
  name: string | undefined,
  failureLists: FailureLists = 'r',
  env: NodeJS.ProcessEnv = process.env,
): Identity {
  const pod = env['POD_NAME'] ?? ''
  const podNamespace = env['POD_NAMESPACE'] ?? ''
  const podUid = env['POD_UID'] ?? ''
  const container = env['CONTAINER_NAME'] ?? ''
  const host = (name ?? (pod || hostname())).replace(/[^A-Za-z0-9._-]/g, '-') || 'worker'
  let started: number | undefined
  // A pod may have several containers with a worker: without its name, one that runs passes for the predecessor of
  // another.
  const instance = podUid === '' || container === '' ? '' : `${podUid}/${container}`
  return {
    host,
    instance,
    drainMark: podUid === '' || podNamespace === '' ? '' : podKey(podNamespace, podUid),
    registration: (slots, { label, skips }, isolation) => {
      const nonce = newNonce()
      ownNonces.add(nonce)
      return {
        nonce,
        name: `${host}.${nonce}`,
        tail: `:${process.pid}:${label}`,
        skips,
        slots,
        instance,
        host,
        pid: process.pid,
        pid_namespace: pidNamespace(),
        boot_id: bootId(),
        pod,
        pod_namespace: podNamespace,
        pod_uid: podUid,
        container,
        // A worker that registers anew has not started anew.
        started: (started ??= Date.now()),
        version: VERSION,
        isolation,
        failure_lists: failureLists,
        lease_ms: isolation === 'inline' ? INLINE_LEASE_MS : LEASE_MS,
      }
    },
  }
}

/**
 * What this process sees of a registered one: nothing, where that does not run on the same machine in the same pid
 * namespace.
 */
export function sightOf(other: Registration): 'dead' | 'alive' | 'unseen' {
  if (other.pid_namespace === '' || other.pid_namespace !== pidNamespace() || other.boot_id !== bootId())
    return 'unseen'
  if (other.pid === process.pid) return ownNonces.has(other.nonce) ? 'alive' : 'dead' // an earlier bearer of our pid
  try {
    process.kill(other.pid, 0)
    return 'alive'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH' ? 'dead' : 'alive'
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return '' // not Linux: leases decide
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}
