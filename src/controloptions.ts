import { text, type Option, type OptionGroup } from './option.ts'
import { ResQueueError } from './errors.ts'
import { words, yesNo } from './values.ts'

// What the controller is told, besides Redis.

export const connections: Option<string | undefined> = text(
  'connections',
  'FILE',
  'File (YAML or JSON) with the Redis connections that scalers may name; it and the files it refers to are reloaded when they change. Without it, the Redis options define the connection "default".',
  'RESQUEUE_CONNECTIONS',
)

/** Kubernetes namespaces; `all`: every one. Empty: the controller's own. */
export const namespaceScope: Option<readonly string[] | 'all'> = {
  flag: 'namespace-scope',
  env: [{ name: 'RESQUEUE_NAMESPACE_SCOPE' }],
  value: 'LIST',
  fallback: [],
  shown: "the controller's own",
  about: 'Kubernetes namespaces whose WorkerScalers are served: team-a,team-b, or * for all.',
  read: (given) => {
    const names = [...new Set(given.split(',').map((name) => name.trim()))].filter((name) => name !== '')
    if (names.includes('*')) return 'all'
    const wrong = names.find((name) => !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name))
    if (names.length === 0 || wrong !== undefined)
      throw new ResQueueError('USAGE', `"${wrong ?? given}" is no Kubernetes namespace; write team-a,team-b or '*'`)
    return names
  },
}

export const leaderElect: Option<boolean> = {
  flag: 'leader-elect',
  env: [{ name: 'RESQUEUE_LEADER_ELECT' }],
  negative: true,
  fallback: true,
  shown: 'with leader election',
  about: 'Scale without holding the Lease first. Only where no second controller can ever run.',
  read: yesNo,
}

export const leaseName: Option<string> = {
  flag: 'lease-name',
  env: [{ name: 'RESQUEUE_LEASE_NAME' }],
  value: 'NAME',
  fallback: 'resqueue-controller',
  shown: 'resqueue-controller',
  about:
    "Lease that the leader holds, in the controller's own namespace; independent controllers need different ones. A WorkerScaler whose annotation resqueue.dev/controller names another Lease (NAME or NAMESPACE/NAME) is left alone.",
  read: words,
}

export const kubeconfig: Option<string | undefined> = text(
  'kubeconfig',
  'FILE',
  "How to reach the API server; default: the pod's service account, else KUBECONFIG, else ~/.kube/config.",
)

export const kubeContext: Option<string | undefined> = text(
  'context',
  'NAME',
  'Context of the kubeconfig; default: its current one.',
)

export const controllerGroup: OptionGroup = {
  title: 'The controller',
  options: [connections, namespaceScope, leaderElect, leaseName, kubeconfig, kubeContext],
}
