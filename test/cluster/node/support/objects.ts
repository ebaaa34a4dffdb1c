import type { KubeObject } from '../../support/cluster.ts'

/** What the restricted Pod Security Standard asks of a pod, and a root file system that cannot be written. */
export const RESTRICTED = {
  pod: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  container: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, readOnlyRootFilesystem: true },
} as const

export interface PodSetup {
  readonly name: string
  readonly image: string
  readonly args?: readonly string[]
  readonly user?: number
  /** Limit, for example `256Mi`. */
  readonly memory?: string
  readonly graceSeconds?: number
  /** Where the container may write. */
  readonly writable?: string
}

/** A restricted pod of one container, with the environment that the chart gives workers. */
export function pod(setup: PodSetup): KubeObject {
  const { name, image, args = [], user, memory, graceSeconds = 30, writable = '/tmp' } = setup
  const field = (variable: string, fieldPath: string): object => ({
    name: variable,
    valueFrom: { fieldRef: { fieldPath } },
  })
  const container = {
    name,
    image,
    imagePullPolicy: 'Never',
    args,
    env: [
      field('POD_NAME', 'metadata.name'),
      field('POD_NAMESPACE', 'metadata.namespace'),
      field('POD_UID', 'metadata.uid'),
      { name: 'CONTAINER_NAME', value: name },
    ],
    ...(memory && { resources: { limits: { memory } } }),
    securityContext: { ...RESTRICTED.container, ...(user && { runAsUser: user }) },
    volumeMounts: [{ name: 'writable', mountPath: writable }],
  }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: graceSeconds,
      securityContext: { ...RESTRICTED.pod, ...(user && { fsGroup: user }) },
      containers: [container],
      volumes: [{ name: 'writable', emptyDir: {} }],
    },
  }
}

/** A Service for the pods of that name. */
export function service(name: string, port: number): KubeObject {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { selector: { app: name }, ports: [{ port }] } }
}
