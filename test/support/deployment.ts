import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { openApiServer, type ApiServer } from '../../src/controller/apiserver.ts'
import { podOf, type Pod, type PodObject } from '../../src/controller/pods.ts'
import { own } from './scope.ts'

/** A Deployment `mailers`, served by HTTP as the API server does, whose controller manager does nothing. */
export interface Deployment {
  readonly api: ApiServer
  readonly pods: () => readonly Pod[]
  readonly replicas: () => number
  /** Calls back before each answer to a list of the pods. */
  onList(callback: () => void): void
}

interface Change {
  readonly spec?: { readonly replicas: number }
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> }
}

/** Starts it with a ready pod in the namespace `default` for each of these uids. */
export async function startDeployment(uids: readonly string[]): Promise<Deployment> {
  let replicas = uids.length
  let listed = (): void => undefined
  const pods = uids.map(podObject)
  const answer = (path: string, change: Change | undefined): object => {
    if (path.endsWith('/scale')) {
      replicas = change?.spec?.replicas ?? replicas
      return { metadata: { resourceVersion: '1' }, spec: { replicas }, status: { selector: '' } }
    }
    const at = pods.findIndex(({ metadata }) => path.endsWith(`/${metadata.name}`))
    const pod = pods[at]
    if (pod && change) {
      const annotations = { ...pod.metadata.annotations, ...change.metadata.annotations }
      pods[at] = { ...pod, metadata: { ...pod.metadata, annotations } }
    } else listed()
    return { metadata: { resourceVersion: '1' }, items: pods }
  }
  const server = createServer(async (request, response) => {
    const change = request.method === 'GET' ? undefined : ((await json(request)) as Change)
    response.end(JSON.stringify(answer(new URL(request.url ?? '', 'http://api').pathname, change)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const api = openApiServer({
    server: `http://127.0.0.1:${port}`,
    namespace: 'default',
    auth: async () => ({ headers: {}, tls: {} }),
  })
  own('API server', () => {
    api.close()
    server.closeAllConnections()
    server.close()
  })
  return { api, pods: () => pods.map(podOf), replicas: () => replicas, onList: (callback) => void (listed = callback) }
}

function podObject(uid: string): PodObject {
  return {
    metadata: {
      name: uid,
      namespace: 'default',
      uid,
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { 'pod-template-hash': 'a' },
      ownerReferences: [{ kind: 'ReplicaSet', name: 'mailers-a', uid: 'rs', controller: true }],
    },
    spec: { nodeName: 'n' },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
  }
}
