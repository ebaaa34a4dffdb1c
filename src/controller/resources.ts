import { API_VERSION, KIND } from './api.ts'
import { refusal, type ApiServer, type KubeReply, type Query } from './apiserver.ts'

// What the controller asks of the API server, a function each. RBAC in the chart names exactly these.

/** The part of every object that we look at. */
export interface Meta {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly resourceVersion: string
  readonly generation?: number
  readonly creationTimestamp: string
  readonly deletionTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly ownerReferences?: readonly {
    readonly kind: string
    readonly name: string
    readonly uid: string
    readonly controller?: boolean
  }[]
  readonly managedFields?: readonly {
    readonly manager?: string
    readonly fieldsV1?: { readonly 'f:metadata'?: { readonly 'f:annotations'?: Readonly<Record<string, object>> } }
  }[]
}

export interface KubeObject {
  readonly metadata: Meta
}

export interface List<T> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string }
  readonly items: readonly T[]
}

/** A kind that can be listed and watched. */
export interface Kind {
  /** Of the API: `/api/v1`, `/apis/group/version`. */
  readonly base: string
  readonly plural: string
}

export const SCALERS: Kind = { base: `/apis/${API_VERSION}`, plural: 'workerscalers' }
export const PODS: Kind = { base: '/api/v1', plural: 'pods' }

/** Who writes, for the API server's record of field owners. */
export const FIELD_MANAGER = 'resqueue-controller'

/** Objects in one page of a list. */
const PAGE = 500
/** A list that is not there is of a kind that is not there. */
const NO_CRD = `Install the custom resource ${KIND}: kubectl apply --server-side -f deploy/crds.yaml`

/** `namespace` undefined: in all namespaces. */
export function collection({ base, plural }: Kind, namespace: string | undefined): string {
  return namespace === undefined ? `${base}/${plural}` : `${base}/namespaces/${namespace}/${plural}`
}

/** All objects of a kind, a page at a time. Throws where the list cannot be had. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- what is listed is known by the path
export async function listAll<T>(
  api: ApiServer,
  path: string,
  options: { readonly query?: Query; readonly signal?: AbortSignal | undefined } = {},
): Promise<{ readonly items: readonly T[]; readonly resourceVersion: string }> {
  const items: T[] = []
  let cursor: string | undefined
  for (;;) {
    const reply = await api.request({
      path,
      query: { ...options.query, limit: PAGE, continue: cursor },
      signal: options.signal,
      timeoutMs: 30_000,
    })
    // The pages expired while they were read: begin again.
    if (reply.status === 410 && cursor !== undefined) {
      items.length = 0
      cursor = undefined
      continue
    }
    if (reply.status !== 200)
      throw refusal(`list ${path}`, reply, reply.status === 404 && path.startsWith(SCALERS.base) ? NO_CRD : undefined)
    const page = reply.body as List<T>
    items.push(...page.items)
    cursor = page.metadata.continue || undefined
    if (cursor === undefined) return { items, resourceVersion: page.metadata.resourceVersion }
  }
}

/** The scale of a Deployment. */
export interface Scale {
  readonly resourceVersion: string
  readonly uid: string
  /** What the Deployment is told to have. */
  readonly replicas: number
  /** The label selector of its pods, as text. */
  readonly selector: string
}

export type ScaleReply = { readonly kind: 'ok'; readonly scale: Scale } | { readonly kind: 'absent' | 'conflict' }

interface ScaleObject {
  readonly metadata: Meta
  readonly spec?: { readonly replicas?: number }
  readonly status?: { readonly selector?: string }
}

function scalePath(namespace: string, deployment: string): string {
  return `/apis/apps/v1/namespaces/${namespace}/deployments/${deployment}/scale`
}

function scaleOf(reply: KubeReply, what: string): ScaleReply {
  if (reply.status === 404) return { kind: 'absent' }
  if (reply.status === 409) return { kind: 'conflict' }
  if (reply.status !== 200) throw refusal(what, reply)
  const { metadata, spec, status } = reply.body as ScaleObject
  return {
    kind: 'ok',
    scale: {
      resourceVersion: metadata.resourceVersion,
      uid: metadata.uid,
      replicas: spec?.replicas ?? 0,
      selector: status?.selector ?? '',
    },
  }
}

export async function getScale(api: ApiServer, namespace: string, deployment: string): Promise<ScaleReply> {
  const reply = await api.request({ path: scalePath(namespace, deployment) })
  return scaleOf(reply, `read the scale of ${namespace}/${deployment}`)
}

/**
 * Writes the scale with the resourceVersion that was read: `conflict` where the Deployment changed meanwhile, so that
 * nothing is decided by what is no longer so.
 */
export async function putScale(
  api: ApiServer,
  namespace: string,
  deployment: string,
  read: Scale,
  replicas: number,
): Promise<ScaleReply> {
  const reply = await api.request({
    method: 'PUT',
    path: scalePath(namespace, deployment),
    query: { fieldManager: FIELD_MANAGER },
    // What it was decided by grows old: it is sent at once or not at all.
    patient: false,
    timeoutMs: 5000,
    body: {
      apiVersion: 'autoscaling/v1',
      kind: 'Scale',
      metadata: { name: deployment, namespace, resourceVersion: read.resourceVersion, uid: read.uid },
      spec: { replicas },
    },
  })
  return scaleOf(reply, `set the scale of ${namespace}/${deployment}`)
}

/**
 * Sets annotations of a pod; null removes one. Nothing is done where the pod is gone, or was written by others again
 * and again in that instant: who must know looks at the pod.
 */
export async function annotatePod(
  api: ApiServer,
  pod: { readonly namespace: string; readonly name: string; readonly uid: string },
  annotations: Readonly<Record<string, string | null>>,
): Promise<void> {
  const reply = await api.request({
    method: 'PATCH',
    path: `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}`,
    query: { fieldManager: FIELD_MANAGER },
    contentType: 'application/merge-patch+json',
    // The uid keeps the patch from a successor of the same name, as StatefulSets have.
    body: { metadata: { uid: pod.uid, annotations } },
  })
  if (![200, 404, 409].includes(reply.status)) throw refusal(`annotate the pod ${pod.namespace}/${pod.name}`, reply)
}

/** Replaces a scaler's status by server-side apply, where the scaler is still there. */
export async function applyStatus(
  api: ApiServer,
  scaler: { readonly namespace: string; readonly name: string },
  status: object,
): Promise<void> {
  const reply = await api.request({
    method: 'PATCH',
    path: `${collection(SCALERS, scaler.namespace)}/${scaler.name}/status`,
    query: { fieldManager: FIELD_MANAGER, force: true },
    contentType: 'application/apply-patch+yaml', // JSON is YAML
    body: {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata: { name: scaler.name, namespace: scaler.namespace },
      status,
    },
  })
  if (![200, 404].includes(reply.status)) throw refusal(`write the status of ${scaler.namespace}/${scaler.name}`, reply)
}

/**
 * The names of the fields of `spec` that the API server knows of our kind; undefined where it cannot be told. Any
 * service account may read this document, whereas CRDs need a cluster role.
 */
export async function servedSpecFields(api: ApiServer, signal?: AbortSignal): Promise<readonly string[] | undefined> {
  const reply = await api.request({ path: `/openapi/v3${SCALERS.base}`, signal, timeoutMs: 30_000 })
  if (reply.status !== 200) return undefined
  interface Schema {
    readonly properties?: Readonly<Record<string, Schema>>
    readonly [other: string]: unknown
  }
  const { components } = reply.body as { components?: { schemas?: Readonly<Record<string, Schema>> } }
  const kind = Object.values(components?.schemas ?? {}).find((schema) => {
    const kinds = schema['x-kubernetes-group-version-kind'] as { kind?: string }[] | undefined
    return kinds?.some(({ kind: name }) => name === KIND) === true
  })
  const spec = kind?.properties?.['spec']?.properties
  return spec === undefined ? undefined : Object.keys(spec)
}
