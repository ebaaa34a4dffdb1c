import { expect } from 'vitest'
import { REDIS, test } from './helm.ts'

const warnings = (notes: string): string[] => notes.split('\n').filter((line) => line.startsWith('WARNING'))

test('a sound release is not warned', async ({ helm }) => {
  const notes = await helm.notes({ ...REDIS, workers: { default: { jobs: '/app/jobs' } } })
  expect(warnings(notes)).toEqual([])
  expect(notes).toContain('pool default: replicas 1, slots 1, queues *')
  expect(notes).toContain('kubectl -n jobs exec deploy/rq-resqueue-controller -- resqueue queue ls')
  expect(notes).toContain('helm test rq -n jobs')
})

test.for([
  ['the trial Redis', { redis: { trial: { enabled: true } } }, /jobs in it are lost with its pod/],
  ['demo jobs', { redis: { trial: { enabled: true } } }, /pool default performs the demo jobs/],
  ['a password in the URL', { redis: { url: 'redis://user:secret@redis' } }, /redis\.url has a password/],
  [
    "a password in a connection's URL",
    { ...REDIS, controller: { connections: { shop: { url: 'redis://:secret@shop', allowedNamespaces: ['shop'] } } } },
    /controller\.connections\.shop\.url has a password/,
  ],
  ['several jobs without a limit', { ...REDIS, workers: { default: { concurrency: 2 } } }, /without jobMemory/],
  [
    'no memory limit',
    { ...REDIS, workers: { default: { resources: { limits: { memory: null } } } } },
    /no memory limit/,
  ],
  [
    'jobs that may need more than the limit',
    { ...REDIS, workers: { default: { jobMemory: '1Gi', allowMemoryOvercommit: true } } },
    /need up to 1180 MiB, and its memory limit is 512Mi/,
  ],
  [
    'a controller for other namespaces',
    { ...REDIS, controller: { namespaceScope: ['shop'] }, workers: { default: { scaling: { enabled: true } } } },
    /no controller for namespace jobs/,
  ],
  [
    'nobody to scale',
    { ...REDIS, controller: { enabled: false }, workers: { default: { scaling: { enabled: true } } } },
    /nothing scales it/,
  ],
  ['rules without a PodMonitor', { ...REDIS, metrics: { prometheusRule: { enabled: true } } }, /metrics\.podMonitor/],
] as const)('warned: %s', async ([, values, message], { helm }) => {
  expect(warnings(await helm.notes(values)).join('\n')).toMatch(message)
})

test('before scaling is enabled the notes say how to keep the pods that run', async ({ helm }) => {
  expect(await helm.notes({ ...REDIS })).toContain('kubectl -n jobs scale deploy/rq-resqueue-default --replicas=N+1')
  expect(await helm.notes({ ...REDIS, workers: { default: { replicas: null } } })).not.toContain('--replicas=N+1')
  const scaled = await helm.notes({ ...REDIS, workers: { default: { scaling: { enabled: true } } } })
  expect(scaled).not.toContain('--replicas=N+1')
  expect(scaled).toContain('kubectl -n jobs get workerscaler rq-resqueue-default')
})

test('notes for a release without pools', async ({ helm }) => {
  const notes = await helm.notes({ ...REDIS, workers: { default: null } })
  expect(notes).toContain('controller: watches jobs')
})

test('the commands in the notes call `resqueue` as the image of that pod has it', async ({ helm }) => {
  const values = { ...REDIS, workerDefaults: { command: ['tini', '--', 'node', 'bin.js'] } }
  expect(await helm.notes(values)).toContain('exec deploy/rq-resqueue-controller -- resqueue queue ls')
  const notes = await helm.notes({ ...values, controller: { enabled: false } })
  expect(notes).toContain('exec deploy/rq-resqueue-default -- tini -- node bin.js queue ls')
})
