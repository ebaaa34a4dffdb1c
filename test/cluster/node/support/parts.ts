import type { KubeObject } from '../../support/cluster.ts'
import { pod, RESTRICTED, service } from './objects.ts'

/** A claim of the one volume that has this class. */
export function claim(name: string, storageClassName: string): KubeObject {
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name }, spec: claimSpec(storageClassName) }
}

const claimSpec = (storageClassName: string): object => ({
  storageClassName,
  accessModes: ['ReadWriteOnce'],
  resources: { requests: { storage: '1Gi' } },
})

/** A Redis that loses nothing with its pod, and its Service `redis`. */
export function keptRedis(image: string, storageClassName: string): KubeObject[] {
  const labels = { app: 'redis' }
  const container = {
    name: 'redis',
    image,
    imagePullPolicy: 'Never',
    args: ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '', '--dir', '/data'],
    readinessProbe: { tcpSocket: { port: 6379 }, periodSeconds: 1 },
    securityContext: { ...RESTRICTED.container, runAsUser: 999 },
    volumeMounts: [{ name: 'data', mountPath: '/data' }],
  }
  const set = {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'redis' },
    spec: {
      replicas: 1,
      serviceName: 'redis',
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { automountServiceAccountToken: false, securityContext: RESTRICTED.pod, containers: [container] },
      },
      volumeClaimTemplates: [{ metadata: { name: 'data' }, spec: claimSpec(storageClassName) }],
    },
  }
  return [set, service('redis', 6379)]
}

/** A pod of the project's image in which commands can be run: an application that enqueues. */
export function idlePod(name: string, image: string): KubeObject {
  const { spec, ...rest } = pod({ name, image, graceSeconds: 0 }) as { spec: { containers: object[] } }
  const containers = spec.containers.map((container) => ({ ...container, command: ['sleep', 'infinity'] }))
  return { ...rest, spec: { ...spec, containers } }
}
