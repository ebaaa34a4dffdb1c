import type { Cluster } from './cluster.ts'

/** What tests read of a pod. */
export interface Pod {
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly uid: string
    readonly annotations?: Readonly<Record<string, string>>
    readonly labels?: Readonly<Record<string, string>>
    readonly deletionTimestamp?: string
    readonly deletionGracePeriodSeconds?: number
  }
  readonly spec: {
    readonly nodeName?: string
    readonly terminationGracePeriodSeconds?: number
    readonly containers: readonly Container[]
  }
  readonly status?: {
    readonly phase?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
    readonly containerStatuses?: readonly ContainerStatus[]
  }
}

export interface ContainerStatus {
  readonly name: string
  readonly ready: boolean
  readonly restartCount: number
  readonly containerID?: string
  readonly state?: Readonly<Record<string, { readonly reason?: string; readonly exitCode?: number }>>
  readonly lastState?: Readonly<Record<string, { readonly reason?: string; readonly exitCode?: number }>>
}

interface Container {
  readonly name: string
  readonly args?: readonly string[]
  readonly env?: readonly Variable[]
}

interface Variable {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: {
    readonly fieldRef?: { readonly fieldPath: string }
    readonly secretKeyRef?: KeyRef
    readonly configMapKeyRef?: KeyRef
  }
}

interface KeyRef {
  readonly name: string
  readonly key: string
  readonly optional?: boolean
}

/**
 * The environment of the pod's first container, as a kubelet makes it: values, fields of the pod, Secrets and
 * ConfigMaps.
 */
export async function environmentOf(cluster: Cluster, pod: Pod): Promise<Record<string, string>> {
  const env: Record<string, string> = {}
  for (const { name, value, valueFrom } of pod.spec.containers[0]?.env ?? []) {
    const found = valueFrom === undefined ? value : await valueOf(cluster, pod, valueFrom)
    if (found !== undefined) env[name] = expand(found, env)
  }
  return env
}

/** Replaces `$(NAME)` in arguments. */
export function expandArgs(args: readonly string[], env: Readonly<Record<string, string>>): string[] {
  return args.map((arg) => expand(arg, env))
}

function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\(([A-Za-z_][A-Za-z0-9_]*)\)/g, (whole, name: string) => env[name] ?? whole)
}

async function valueOf(
  cluster: Cluster,
  pod: Pod,
  from: NonNullable<Variable['valueFrom']>,
): Promise<string | undefined> {
  if (from.fieldRef !== undefined) return fieldOf(pod, from.fieldRef.fieldPath)
  const [kind, ref] = from.secretKeyRef
    ? (['secrets', from.secretKeyRef] as const)
    : (['configmaps', from.configMapKeyRef] as const)
  if (ref === undefined) return undefined
  const path = `/api/v1/namespaces/${pod.metadata.namespace}/${kind}/${ref.name}`
  const { status, body } = await cluster.api.call<{ data?: Record<string, string> }>('GET', path)
  const found = body.data?.[ref.key]
  if (found === undefined && ref.optional) return undefined
  if (found === undefined) throw new Error(`${path} has no ${ref.key}: ${status}`)
  return kind === 'secrets' ? Buffer.from(found, 'base64').toString() : found
}

function fieldOf(pod: Pod, path: string): string {
  const label = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path)
  if (label) return pod.metadata[label[1] as 'labels' | 'annotations']?.[label[2] as string] ?? ''
  switch (path) {
    case 'metadata.name':
      return pod.metadata.name
    case 'metadata.namespace':
      return pod.metadata.namespace
    case 'metadata.uid':
      return pod.metadata.uid
    case 'spec.nodeName':
      return pod.spec.nodeName ?? ''
    default:
      return '127.0.0.1'
  }
}
