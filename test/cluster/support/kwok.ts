import { fileURLToPath } from 'node:url'
import type { Cluster, KubeObject } from './cluster.ts'
import { startPart, type Part } from './part.ts'

const STAGES = fileURLToPath(new URL('./kwok-stages.yaml', import.meta.url))

/** What pods have in their spec to go to fake nodes also in a cluster that has real ones. */
export const ON_FAKE_NODES = {
  nodeSelector: { 'resqueue.test/node': 'fake' },
  tolerations: [{ key: 'resqueue.test/node', operator: 'Exists', effect: 'NoSchedule' }],
} as const

export interface KwokOptions {
  readonly file: string
  readonly kubeconfig: string
  readonly dir: string
  readonly port: number
  /** Nodes of this name only, as in `FakeNodes`. Default `fake`. */
  readonly nodes?: string
  /** How long a node's lease lasts; it is renewed four times as often. Default 40. */
  readonly leaseSeconds?: number
}

/** Starts kwok, which pretends to be the kubelet of the nodes that `addFakeNodes` made. See kwok-stages.yaml. */
export function startKwok(options: KwokOptions): Promise<Part> {
  const { file, kubeconfig, dir, port, nodes = 'fake', leaseSeconds = 40 } = options
  const args = [
    `--kubeconfig=${kubeconfig}`,
    `--config=${STAGES}`,
    '--manage-all-nodes=false',
    `--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=${nodes}`,
    // Without leases the nodes, and the pods on them, go not ready after a minute.
    `--node-lease-duration-seconds=${leaseSeconds}`,
    `--server-address=127.0.0.1:${port}`,
    '--node-ip=127.0.0.1',
  ]
  return startPart({ name: `kwok-${nodes}`, file, args, dir, env: { HOME: dir } })
}

export interface FakeNodes {
  /** Their names are `<name>-0` … Default `fake`. */
  readonly name?: string
  readonly count: number
  /** Room on each. */
  readonly pods: number
  /** Keeps all pods away that are not made for fake nodes: needed where the cluster has real ones. */
  readonly tainted: boolean
}

/** Makes fake nodes. */
export async function addFakeNodes(cluster: Cluster, nodes: FakeNodes): Promise<void> {
  await cluster.apply(Array.from({ length: nodes.count }, (_, index) => fakeNode(index, nodes)))
}

function fakeNode(index: number, { name: prefix = 'fake', pods, tainted }: FakeNodes): KubeObject {
  const name = `${prefix}-${index}`
  const room = { cpu: '64', memory: '512Gi', pods: `${pods}` }
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      annotations: { 'kwok.x-k8s.io/node': prefix },
      labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', ...ON_FAKE_NODES.nodeSelector },
    },
    spec: tainted ? { taints: [{ key: 'resqueue.test/node', value: 'fake', effect: 'NoSchedule' }] } : {},
    status: { allocatable: room, capacity: room },
  }
}
