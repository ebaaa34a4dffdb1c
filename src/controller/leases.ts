import { refusal, type ApiServer, type KubeReply } from './apiserver.ts'
import { collection, FIELD_MANAGER, type Kind } from './resources.ts'

/** A Lease as it is read and written. */
export interface Lease {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly resourceVersion?: string }
  readonly spec: {
    readonly holderIdentity?: string
    readonly leaseDurationSeconds?: number
    readonly acquireTime?: string
    readonly renewTime?: string
    readonly leaseTransitions?: number
  }
}

const LEASES: Kind = { base: '/apis/coordination.k8s.io/v1', plural: 'leases' }

export type LeaseReply = { readonly kind: 'ok'; readonly lease: Lease } | { readonly kind: 'absent' | 'conflict' }

function leaseOf(reply: KubeReply, what: string): LeaseReply {
  if (reply.status === 404) return { kind: 'absent' }
  if (reply.status === 409) return { kind: 'conflict' }
  if (reply.status !== 200 && reply.status !== 201) throw refusal(what, reply)
  return { kind: 'ok', lease: reply.body as Lease }
}

export async function getLease(
  api: ApiServer,
  namespace: string,
  name: string,
  timeoutMs: number,
): Promise<LeaseReply> {
  const path = `${collection(LEASES, namespace)}/${name}`
  return leaseOf(await api.request({ path, patient: false, timeoutMs }), `read the lease ${namespace}/${name}`)
}

/** Creates the lease where it has no resourceVersion, else replaces it. */
export async function writeLease(api: ApiServer, lease: Lease, timeoutMs: number): Promise<LeaseReply> {
  const { name, namespace, resourceVersion } = lease.metadata
  const path = collection(LEASES, namespace)
  const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', ...lease }
  const [method, where] =
    resourceVersion === undefined ? (['POST', path] as const) : (['PUT', `${path}/${name}`] as const)
  const query = { fieldManager: FIELD_MANAGER }
  const reply = await api.request({ method, path: where, query, body, patient: false, timeoutMs })
  return leaseOf(reply, `write the lease ${namespace}/${name}`)
}
