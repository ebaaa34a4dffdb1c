import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readScalerFile } from '../../src/controller/simulate/scalerfile.ts'
import { DEFAULTS, problemText, readScaler } from '../../src/controller/readscaler.ts'
import { scalerObject, scalerOf } from '../support/scaler.ts'

const problemsOf = (object: unknown, strict = true): string[] => {
  const reading = readScaler(object, { strict })
  return reading.ok ? [] : reading.problems.map(problemText)
}

test('fields that are left out get their defaults', () => {
  const { name, namespace, spec, status } = scalerOf({ slotsPerReplica: undefined })
  expect({ name, namespace, status }).toEqual({ name: 'mailers', namespace: 'shop', status: {} })
  const rules = { selectPolicy: 'Max', policies: [], tolerance: null }
  expect(spec).toEqual({
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'mailers' },
    queues: ['mailers'],
    redis: { name: 'default' },
    minReplicas: 0,
    maxReplicas: 50,
    target: { latencySeconds: 30, latencySecondsByQueue: {} },
    slotsPerReplica: null,
    pollingIntervalSeconds: 2,
    cooldownSeconds: 60,
    behavior: {
      scaleUp: { stabilizationWindowSeconds: 0, ...rules },
      scaleDown: { stabilizationWindowSeconds: 60, ...rules },
    },
    scaleDown: { drain: true, drainTimeoutSeconds: 0 },
    protect: [],
    paused: false,
  })
})

test('the custom resource and the reference tell the same defaults', () => {
  const read = (file: string): string => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
  const { scaleUpWindowSeconds: up, scaleDownWindowSeconds: down, pollingIntervalSeconds, cooldownSeconds } = DEFAULTS
  const crd = read('charts/resqueue/crds/workerscaler.yaml')
  expect(crd.match(/\d+ for scaleUp and \d+ for scaleDown/g)).toEqual(
    Array.from({ length: 2 }, () => `${up} for scaleUp and ${down} for scaleDown`),
  )
  expect(/pollingIntervalSeconds:.*?default: (\d+)/s.exec(crd)?.[1]).toBe(String(pollingIntervalSeconds))
  expect(/cooldownSeconds:.*?default: (\d+)/s.exec(crd)?.[1]).toBe(String(cooldownSeconds))
  const reference = read('docs/controller.md')
  expect(reference).toContain(`\`stabilizationWindowSeconds\` (${up} and ${down})`)
  expect(reference).toContain(`| \`pollingIntervalSeconds\` | ${pollingIntervalSeconds} |`)
  expect(reference).toContain(`| \`cooldownSeconds\` | ${cooldownSeconds} |`)
})

test('a target needs no more than a name, as in the cluster', () => {
  expect(scalerOf({ scaleTargetRef: { name: 'web' } }).spec.scaleTargetRef).toEqual({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    name: 'web',
  })
})

test('everything that is given is read', () => {
  const spec = {
    scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
    queues: ['critical', 'mail-*', '!mail-slow'],
    redis: { name: 'main' },
    minReplicas: 2,
    maxReplicas: 9,
    target: { latencySeconds: 60, latencySecondsByQueue: { critical: 5 } },
    slotsPerReplica: 8,
    pollingIntervalSeconds: 5,
    cooldownSeconds: 0,
    behavior: {
      scaleUp: {
        stabilizationWindowSeconds: 3,
        selectPolicy: 'Min',
        policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
        tolerance: 1,
      },
      scaleDown: { stabilizationWindowSeconds: 300, selectPolicy: 'Disabled', policies: [], tolerance: 0 },
    },
    scaleDown: { drain: false, drainTimeoutSeconds: 600 },
    protect: ['karpenter', 'clusterAutoscaler'],
    paused: true,
  }
  expect(scalerOf(spec).spec).toEqual(spec)
  expect(scalerOf({ target: { jobsPerReplica: 10 } }).spec.target).toEqual({ jobsPerReplica: 10 })
  for (const tolerance of ['50m', '0.05', '.05'])
    expect(scalerOf({ behavior: { scaleUp: { tolerance } } }).spec.behavior.scaleUp.tolerance).toBe(0.05)
})

test.each<[Record<string, unknown>, string]>([
  [{ queues: [] }, 'spec.queues: must list 1 to 64 queues, not 0'],
  [{ queues: Array.from({ length: 65 }, (_, i) => `q${i}`) }, 'spec.queues: must list 1 to 64 queues, not 65'],
  [{ queues: ['a', ''] }, `spec.queues[1]: must be a queue's name, *, a glob or !name, not ""`],
  [{ queues: ['a,b'] }, 'spec.queues[0]: must be one queue, without a comma, not "a,b"; give each its own entry'],
  [{ queues: undefined }, 'spec.queues: is required'],
  [{ maxReplicas: undefined }, 'spec.maxReplicas: is required'],
  [{ maxReplicas: 0 }, 'spec.maxReplicas: must be a whole number from 1 to 1000000, not 0'],
  [{ minReplicas: 51 }, 'spec.minReplicas: is 51 and more than maxReplicas, 50'],
  [{ target: {} }, 'spec.target: needs one of latencySeconds and jobsPerReplica'],
  [
    { target: { latencySeconds: 30, jobsPerReplica: 1 } },
    'spec.target: needs only one of latencySeconds and jobsPerReplica',
  ],
  [
    { target: { jobsPerReplica: 1, latencySecondsByQueue: { a: 3 } } },
    'spec.target.latencySecondsByQueue: goes with latencySeconds only',
  ],
  [
    { target: { latencySeconds: 1, latencySecondsByQueue: { a: 'x' } } },
    'spec.target.latencySecondsByQueue.a: must be a whole number from 1 to 86400, not "x"',
  ],
  [{ scaleTargetRef: undefined }, 'spec.scaleTargetRef: is required'],
  [
    { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'a' } },
    'spec.scaleTargetRef.kind: must be Deployment, not "StatefulSet"',
  ],
  [
    { scaleTargetRef: { apiVersion: 'batch/v1', kind: 'Deployment', name: 'a' } },
    'spec.scaleTargetRef.apiVersion: must be apps/v1, not "batch/v1"',
  ],
  [
    { scaleTargetRef: { name: '../../shop/deployments/web' } },
    'spec.scaleTargetRef.name: must be the name of a Deployment, not "../../shop/deployments/web"',
  ],
  [{ scaleTargetRef: { name: 'web?x=' } }, 'spec.scaleTargetRef.name: must be the name of a Deployment, not "web?x="'],
  [{ scaleTargetRef: { name: '..' } }, 'spec.scaleTargetRef.name: must be the name of a Deployment, not ".."'],
  [{ slotsPerReplica: 0 }, 'spec.slotsPerReplica: must be a whole number from 1 to 512, not 0'],
  [{ maxReplica: 3 }, 'spec.maxReplica: there is no such field; did you mean maxReplicas?'],
  [
    { behavior: { scaleUp: { policies: [{ type: 'Pod', value: 1, periodSeconds: 1 }] } } },
    'spec.behavior.scaleUp.policies[0].type: must be Pods or Percent, not "Pod"',
  ],
  [
    { behavior: { scaleDown: { tolerance: '5%' } } },
    'spec.behavior.scaleDown.tolerance: must be a fraction of the replicas such as "0.05" or "50m", not "5%"',
  ],
  [
    { behavior: { scaleDown: { tolerance: 0.05 } } },
    'spec.behavior.scaleDown.tolerance: must be in quotes, "0.05": the API server takes no fraction as a number',
  ],
  [{ protect: ['x'] }, 'spec.protect[0]: must be karpenter or clusterAutoscaler, not "x"'],
  [{ paused: 'yes' }, 'spec.paused: must be true or false, not "yes"'],
])('%j is refused: %s', (spec, problem) => {
  expect(problemsOf(scalerObject(spec))).toEqual([problem])
})

test('what is no WorkerScaler is refused', () => {
  expect(problemsOf({ ...scalerObject(), kind: 'ScaledObject' })).toEqual([
    'kind: must be WorkerScaler, not "ScaledObject"',
  ])
  expect(problemsOf({ ...scalerObject(), metadata: {} })).toEqual(['metadata.name: is required'])
  for (const nothing of [undefined, null, 3, 'text', []]) expect(problemsOf(nothing)).not.toEqual([])
})

test('fields of a newer version are no problem in an object of the cluster', () => {
  const object = scalerObject({ later: true })
  expect(problemsOf(object, false)).toEqual([])
  expect(problemsOf(object, true)).toHaveLength(1)
})

test('of a status only what has its type is read', () => {
  const status = {
    serviceSeconds: 2.5,
    arrivalRate: 'many',
    slotsPerReplica: 4,
    conditions: [{ type: 'Ready' }, 3],
    jobs: null,
  }
  const reading = readScaler({ ...scalerObject(), status })
  expect(reading.ok && reading.scaler.status).toEqual({ serviceSeconds: 2.5, slotsPerReplica: 4 })
})

test('nothing makes it throw, and what it accepts is within bounds', () => {
  const fields = [
    'queues',
    'maxReplicas',
    'minReplicas',
    'target',
    'behavior',
    'slotsPerReplica',
    'scaleDown',
    'protect',
  ]
  const change = fc.tuple(fc.constantFrom(...fields), fc.anything())
  const bounded = fc.property(fc.array(change, { maxLength: 3 }), (changes) => {
    const reading = readScaler(scalerObject(Object.fromEntries(changes)))
    if (!reading.ok) return reading.problems.length > 0
    const { minReplicas, maxReplicas, queues } = reading.scaler.spec
    return minReplicas <= maxReplicas && queues.length > 0
  })
  const refused = fc.property(fc.anything(), (object) => problemsOf(object).length > 0)
  expect(() => fc.assert(bounded)).not.toThrow()
  expect(() => fc.assert(refused)).not.toThrow()
})

test('a file may hold other objects, and an error names its line', () => {
  const other = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: other\n---\n'
  const file = (max: string): string =>
    `${other}# ours\napiVersion: resqueue.dev/v1alpha1\nkind: WorkerScaler\nmetadata:\n  name: a\nspec:\n  scaleTargetRef:\n    kind: Deployment\n    name: a\n  queues: [a]\n  ${max}\n  target:\n    latencySeconds: 30\n`
  expect(readScalerFile(file('maxReplicas: 5'), 'a.yaml').spec.maxReplicas).toBe(5)
  const wrong = (text: string): string => {
    try {
      readScalerFile(text, 'a.yaml')
      return 'accepted'
    } catch (error) {
      return (error as Error).message
    }
  }
  expect(wrong(file('maxReplicas: none'))).toBe(
    'a.yaml:16: spec.maxReplicas: must be a whole number from 1 to 1000000, not "none"',
  )
  expect(wrong(file('maxReplicas: [5'))).toMatch(/^a\.yaml:\d+: this is not YAML: /)
  expect(wrong(other)).toMatch(/^a\.yaml:1: apiVersion: must be resqueue\.dev\/v1alpha1, not "v1"/)
  expect(wrong('')).toBe(
    'a.yaml:1: there is no WorkerScaler in the file; write apiVersion: resqueue.dev/v1alpha1, kind: WorkerScaler, …',
  )
})
