import { expect } from 'vitest'
import { openApiServer, type ApiServer } from '../../src/controller/apiserver.ts'
import { watchKind, type Watched } from '../../src/controller/listwatch.ts'
import type { KubeObject } from '../../src/controller/resources.ts'
import { own } from '../support/scope.ts'
import { never, waitFor } from '../support/wait.ts'
import { startApiProxy, type ApiProxy } from './apiproxy.ts'
import type { Cluster } from './support/cluster.ts'
import { startControlPlane } from './support/controlplane.ts'
import { test } from './support/fixtures.ts'

interface Watching {
  readonly api: ApiServer
  readonly watch: Watched<string>
  readonly troubles: string[]
  readonly renewals: () => number
  names(): string[]
}

/** Watches the ConfigMaps of a namespace through a proxy, with short patience. */
function follow(server: string, namespace: string, silenceMs = 1500): Watching {
  let renewals = 0
  const auth = async () => {
    renewals++
    return { headers: {}, tls: {} }
  }
  const api = openApiServer({ server, namespace, auth })
  const troubles: string[] = []
  const watch = watchKind<KubeObject, string>({
    api,
    path: `/api/v1/namespaces/${namespace}/configmaps`,
    keep: ({ metadata }) => (metadata.name === 'kube-root-ca.crt' ? undefined : metadata.name),
    trouble: (error) => void troubles.push(String((error as Error).message)),
    silenceMs,
  })
  const stop = new AbortController()
  const run = watch.run(stop.signal)
  own('watch', async () => {
    stop.abort()
    await run
    api.close()
  })
  return { api, watch, troubles, renewals: () => renewals, names: () => [...watch.items.values()].sort() }
}

let serial = 0
async function add(cluster: Cluster, namespace: string): Promise<string> {
  const name = `c-${++serial}`
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } }
  const { status } = await cluster.api.call('POST', `/api/v1/namespaces/${namespace}/configmaps`, { body })
  expect(status).toBe(201)
  return name
}

async function setup(
  cluster: Cluster,
  namespace: string,
  silenceMs?: number,
): Promise<{ proxy: ApiProxy; following: Watching; first: string }> {
  const proxy = await startApiProxy(cluster.access)
  const first = await add(cluster, namespace)
  const following = follow(proxy.url, namespace, silenceMs)
  await following.watch.ready
  await waitFor(() => proxy.streams > 0)
  return { proxy, following, first }
}

const sees = (following: Watching, name: string) =>
  waitFor(() => following.names().includes(name), {
    describe: () => `${name} among ${following.names().join()} after ${following.troubles.join()}`,
  })

test('what comes, changes and goes is followed without another list', async ({ cluster, namespace }) => {
  // A watch that is answered later than this is a failure.
  const { proxy, following, first } = await setup(cluster, namespace, 5000)
  const second = await add(cluster, namespace)
  await sees(following, second)
  await cluster.api.call('DELETE', `/api/v1/namespaces/${namespace}/configmaps/${first}`)
  await waitFor(() => following.names().join() === second)
  expect(following.watch.counts.lists).toBe(1)
  // Nothing happens for longer than the patience: the watch is opened anew where it was.
  await waitFor(() => proxy.requests.filter((line) => line.includes('watch=true')).length >= 3)
  expect(following.watch.counts.lists).toBe(1)
  expect(following.troubles).toEqual([])
  await sees(following, await add(cluster, namespace))
})

test('a watch of what does not change keeps up with what happens elsewhere, without a failure or another list', async ({
  cluster,
  namespace,
}) => {
  const proxy = await startApiProxy(cluster.access)
  const following = follow(proxy.url, namespace, 30_000)
  await following.watch.ready
  const elsewhere = await cluster.namespace()
  const versions = (): number[] =>
    proxy.requests
      .filter((line) => line.includes('watch=true'))
      .map((line) => Number(/resourceVersion=(\d+)/.exec(line)?.[1]))
  await waitFor(() => versions().length === 1)
  await add(cluster, elsewhere)
  await waitFor(() => versions().length === 2, { timeoutMs: 29_000 })
  const [first = 0, second = 0] = versions()
  expect(second).toBeGreaterThan(first)
  expect(following.watch.counts.lists).toBe(1)
  expect(following.troubles).toEqual([])
  expect(following.api.counts.failed).toBe(0)
  await sees(following, await add(cluster, namespace))
})

test('a connection that says nothing any more is noticed', async ({ cluster, namespace }) => {
  const { proxy, following } = await setup(cluster, namespace)
  proxy.freezeStreams()
  await sees(following, await add(cluster, namespace))
  proxy.on(/watch=true/, { kind: 'silence' }, 2)
  proxy.freezeStreams()
  await sees(following, await add(cluster, namespace))
})

test('a history that is gone makes a new list, said as a status or in the stream', async ({ cluster, namespace }) => {
  const { proxy, following } = await setup(cluster, namespace)
  proxy.on(/watch=true/, { kind: 'status', status: 410, reason: 'Gone' })
  proxy.freezeStreams()
  await sees(following, await add(cluster, namespace))
  await waitFor(() => following.watch.counts.lists === 2)
  const gone = { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' } }
  proxy.on(/watch=true/, { kind: 'line', text: JSON.stringify(gone) })
  proxy.freezeStreams()
  await waitFor(() => following.watch.counts.lists === 3)
  await sees(following, await add(cluster, namespace))
})

test('lines that are cut or cannot be read make a new list', async ({ cluster, namespace }) => {
  const { proxy, following } = await setup(cluster, namespace)
  proxy.on(/watch=true/, { kind: 'line', text: '{"type":"ADDED","object":{"metadata"' })
  proxy.freezeStreams()
  await waitFor(() => following.watch.counts.unreadable === 1)
  await sees(following, await add(cluster, namespace))
  proxy.on(/watch=true/, { kind: 'cut', afterBytes: 20 })
  proxy.freezeStreams()
  await sees(following, await add(cluster, namespace))
  await sees(following, await add(cluster, namespace))
})

test('refused credentials are read anew; one that is too busy is left alone for as long as it asks', async ({
  cluster,
  namespace,
}) => {
  const { proxy, following } = await setup(cluster, namespace)
  const before = following.renewals()
  proxy.on(/watch=true/, { kind: 'status', status: 401 })
  proxy.freezeStreams()
  await sees(following, await add(cluster, namespace))
  expect(following.renewals()).toBeGreaterThan(before)
  proxy.on(/watch=true/, { kind: 'status', status: 429, retryAfterSeconds: 5 })
  const asked = proxy.requests.length
  proxy.freezeStreams()
  await waitFor(() => proxy.requests.length > asked)
  await never(2000, () => proxy.requests.length > asked + 1, 'it was asked again')
  await sees(following, await add(cluster, namespace))
})

test('an API server that fails for a while is asked with growing pauses', async ({ cluster, namespace }) => {
  const { proxy, following } = await setup(cluster, namespace)
  proxy.on(/configmaps/, { kind: 'status', status: 500 }, 6)
  const asked = proxy.requests.length
  const began = performance.now()
  proxy.freezeStreams()
  await sees(following, await add(cluster, namespace))
  // 0.2 + 0.4 + 0.8 + 1.6 + 3.2 + 6.4 s, a quarter less at the most.
  expect(performance.now() - began).toBeGreaterThan(6000)
  expect(proxy.requests.length - asked).toBeLessThan(12)
})

test('an API server that stops and starts again is followed on', async () => {
  const plane = await startControlPlane({ nodes: 0, scheduler: false })
  const namespace = await plane.namespace()
  const { following } = await setup(plane, namespace)
  await plane.apiServer.stop()
  await waitFor(() => following.troubles.length > 0)
  await plane.apiServer.start()
  await plane.ready()
  await sees(following, await add(plane, namespace))
  await plane.apiServer.kill()
  await plane.apiServer.start()
  await plane.ready()
  await sees(following, await add(plane, namespace))
})
