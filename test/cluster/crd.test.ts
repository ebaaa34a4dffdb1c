import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { ROOT } from '../support/process.ts'
import { waitFor } from '../support/wait.ts'
import type { Cluster } from './support/cluster.ts'
import { test } from './support/fixtures.ts'
import { applyCrd, scalerManifest } from './scaling.ts'

const apply = (cluster: Cluster, namespace: string, spec: object) =>
  cluster.api.call<{ message?: string; spec?: object }>(
    'POST',
    `/apis/resqueue.dev/v1alpha1/namespaces/${namespace}/workerscalers?fieldValidation=Strict`,
    { body: scalerManifest('s', { ...spec }) },
  )

test('defaults are filled in, and a second scaler by short name can be listed with its columns', async ({
  cluster,
  namespace,
}) => {
  await applyCrd(cluster)
  const { status, body } = await apply(cluster, namespace, {})
  expect(status).toBe(201)
  expect(body.spec).toMatchObject({
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'w' },
    redis: { name: 'default' },
    minReplicas: 0,
    pollingIntervalSeconds: 2,
    cooldownSeconds: 60,
    scaleDown: { drain: true, drainTimeoutSeconds: 0 },
    paused: false,
  })
  const table = await waitFor(() => cluster.kubectl('-n', namespace, 'get', 'ws'))
  expect(table.split('\n')[0]?.split(/\s+/)).toEqual([
    'NAME',
    'TARGET',
    'QUEUES',
    'MIN',
    'MAX',
    'REPLICAS',
    'DESIRED',
    'LATENCY',
    'READY',
    'AGE',
  ])
})

test('what cannot be is refused at admission', async ({ cluster, namespace }) => {
  await applyCrd(cluster)
  const refused: [object, string][] = [
    [{ minReplicas: 5, maxReplicas: 4 }, 'minReplicas must not be more than maxReplicas'],
    [{ maxReplicas: 0 }, 'maxReplicas'],
    [{ target: {} }, 'exactly one of latencySeconds and jobsPerReplica'],
    [{ target: { latencySeconds: 30, jobsPerReplica: 5 } }, 'exactly one of latencySeconds and jobsPerReplica'],
    [{ target: { jobsPerReplica: 5, latencySecondsByQueue: { a: 1 } } }, 'latencySecondsByQueue goes with'],
    [{ queues: [] }, 'spec.queues'],
    [{ queues: Array.from({ length: 65 }, (_, i) => `q${i}`) }, 'spec.queues'],
    [{ queues: [' '] }, 'must be the name of a queue'],
    [{ queues: ['a,b'] }, 'must be one queue, without a comma'],
    [{ scaleTargetRef: { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'w' } }, 'kind'],
    [{ scaleTargetRef: { apiVersion: 'batch/v1', kind: 'Deployment', name: 'w' } }, 'must be apps/v1'],
    [{ scaleTargetRef: { apiVersion: 'apps/v2', kind: 'Deployment', name: 'w' } }, 'must be apps/v1'],
    [{ scaleTargetRef: { name: '../../shop/deployments/web' } }, 'scaleTargetRef.name'],
    [{ behavior: { scaleUp: { tolerance: 11 } } }, 'tolerance'],
    [{ behavior: { scaleUp: { tolerance: -1 } } }, 'tolerance'],
    [{ behavior: { scaleDown: { tolerance: '11' } } }, 'tolerance'],
    [{ maxReplica: 3 }, 'unknown field "spec.maxReplica"'],
    [{ behavior: { scaleDown: { policies: [{ type: 'Pods', value: 0, periodSeconds: 5 }] } } }, 'value'],
    [{ protect: ['nobody'] }, 'protect'],
  ]
  for (const [spec, words] of refused) {
    const { status, body } = await apply(cluster, namespace, spec)
    expect([JSON.stringify(spec), status, body.message]).toEqual([
      JSON.stringify(spec),
      expect.toSatisfy((code: number) => code === 422 || code === 400),
      expect.stringContaining(words),
    ])
  }
})

test('the target cannot be changed', async ({ cluster, namespace }) => {
  await applyCrd(cluster)
  expect((await apply(cluster, namespace, {})).status).toBe(201)
  const path = `/apis/resqueue.dev/v1alpha1/namespaces/${namespace}/workerscalers/s`
  const { status, body } = await cluster.api.call<{ message: string }>('PATCH', path, {
    body: { spec: { scaleTargetRef: { name: 'other' } } },
  })
  expect([status, body.message]).toEqual([422, expect.stringContaining('scaleTargetRef cannot be changed')])
})

test('the kind has what the controller reads, and the other way round', () => {
  const crd = readFileSync(join(ROOT, 'charts/resqueue/crds/workerscaler.yaml'), 'utf8')
  const reader = readFileSync(join(ROOT, 'src/controller/readscaler.ts'), 'utf8')
  const fields = /export const SPEC_FIELDS: readonly string\[\] = \[([^\]]*)\]/.exec(reader)?.[1]?.match(/\w+/g) ?? []
  const inCrd = Array.from(
    crd.slice(crd.indexOf('\n            spec:'), crd.indexOf('\n            status:')).matchAll(/^ {16}(\w+):/gm),
    ([, name]) => name,
  )
  expect(new Set(inCrd)).toEqual(new Set<string | undefined>(fields))
})
