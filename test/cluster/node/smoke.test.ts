import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { expect } from 'vitest'
import { isAlive, processes } from '../../support/proc.ts'
import { openClient } from '../../support/redis.ts'
import { waitFor } from '../../support/wait.ts'
import { test } from './support/fixtures.ts'
import { openRealCluster, startNode } from './support/node.ts'
import { pod, service } from './support/objects.ts'

const ready = ['--for=condition=Ready', '--timeout=60s']

test('pods run, have names, and are reached from this machine', async ({ cluster, images, namespace }) => {
  const redis = { image: images.redis.name, user: 999, writable: '/data' }
  await cluster.apply([pod({ name: 'redis', ...redis }), service('redis', 6379)], { namespace })
  await cluster.apply([pod({ name: 'other', ...redis })], { namespace })
  await cluster.kubectl('-n', namespace, 'wait', 'pod/redis', 'pod/other', ...ready)
  const ping = (host: string): Promise<string> =>
    cluster.kubectl('-n', namespace, 'exec', 'other', '--', 'valkey-cli', '-h', host, 'ping')
  // A pod is ready a moment before its Service leads to it.
  await waitFor(async () => (await ping('redis')) === 'PONG\n')
  expect(await ping(`redis.${namespace}.svc.cluster.local`)).toBe('PONG\n')
  expect(await cluster.kubectl('-n', namespace, 'logs', 'redis')).toContain('Ready to accept connections')
  const port = await cluster.forward({ namespace, service: 'redis', port: 6379 })
  expect(await openClient(`redis://127.0.0.1:${port}`).ping()).toBe('PONG')
  const { spec } = await cluster.api.get<{ spec: { clusterIP: string } }>(
    `/api/v1/namespaces/${namespace}/services/redis`,
  )
  const entered = cluster.enter('redis-cli', ['-h', spec.clusterIP, 'ping'])
  expect([await entered.exit, entered.stdout]).toEqual([{ code: 0, signal: null }, 'PONG\n'])
})

test('what a pod wrote to a volume is there for the next one', async ({ cluster, images, namespace }) => {
  const claim = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'data' },
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: await cluster.storageClass(),
      resources: { requests: { storage: '1Gi' } },
    },
  }
  const made = pod({
    name: 'redis',
    image: images.redis.name,
    args: ['--appendonly', 'yes'],
    user: 999,
    writable: '/data',
  })
  const volumes = [{ name: 'writable', persistentVolumeClaim: { claimName: 'data' } }]
  const kept = { ...made, spec: { ...(made['spec'] as object), volumes } }
  const cli = (...args: readonly string[]): Promise<string> =>
    cluster.kubectl('-n', namespace, 'exec', 'redis', '--', 'valkey-cli', ...args)
  await cluster.apply([claim, kept], { namespace })
  await cluster.kubectl('-n', namespace, 'wait', 'pod/redis', ...ready)
  await cli('set', 'a', '1')
  await cluster.kubectl('-n', namespace, 'delete', 'pod', 'redis')
  await cluster.apply([kept], { namespace })
  await cluster.kubectl('-n', namespace, 'wait', 'pod/redis', ...ready)
  expect(await cli('get', 'a')).toBe('1\n')
})

test('a node that runs pods ends and leaves nothing', async ({ images }) => {
  const node = await startNode([images.redis])
  const { dir } = node.address
  const name = basename(dir)
  const cluster = await openRealCluster(node.address)
  await cluster.apply([pod({ name: 'redis', image: images.redis.name, user: 999, writable: '/data' })])
  await cluster.kubectl('wait', 'pod/redis', ...ready)
  expect(groups(name)).not.toEqual([])
  await node.stop()
  expect(processes().filter(({ pid, command }) => command.includes(dir) && isAlive(pid))).toEqual([])
  expect(groups(name)).toEqual([])
  expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(name)
  expect(existsSync(dir)).toBe(false)
})

/** Control groups of that name, with either version of them. */
function groups(name: string): string[] {
  const root = '/sys/fs/cgroup'
  return ['.', ...readdirSync(root)].map((place) => `${root}/${place}/${name}`).filter((path) => existsSync(path))
}
