import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  chooseVictims,
  compareRanks,
  costOf,
  DRAINED_COST,
  inRollout,
  parseSelector,
  podOf,
  rankOf,
  safeVictims,
  type Pod,
} from '../../src/controller/pods.ts'
import { pod } from '../support/pods.ts'

const withCost = (cost: string): Partial<Pod> => ({
  annotations: { 'controller.kubernetes.io/pod-deletion-cost': cost },
})

const anyPod = fc
  .record({
    node: fc.constantFrom('', 'n'),
    phase: fc.constantFrom('Pending', 'Running'),
    ready: fc.boolean(),
    annotations: fc.constantFrom({}, withCost(String(DRAINED_COST)).annotations, withCost('5').annotations),
  })
  .map((found) => found as Partial<Pod>)
const anyPods = fc
  .array(anyPod, { maxLength: 12 })
  .map((all) => all.map((found, i) => pod(String(i).padStart(2, '0'), found)))

/** A choice that the ReplicaSet controller may make: by rank, ties broken in any order. */
function possibleDeaths(pods: readonly Pod[], count: number, tie: (pod: Pod) => number): readonly Pod[] {
  return [...pods].sort((a, b) => compareRanks(rankOf(a), rankOf(b)) || tie(a) - tie(b)).slice(0, count)
}

describe('who dies when a scale is lowered', () => {
  test('whatever the ReplicaSet chooses among equals, only pods die that may', () => {
    fc.assert(
      fc.property(anyPods, fc.nat(12), fc.func(fc.boolean()), fc.func(fc.nat()), (pods, most, may, tie) => {
        const mayDie = (one: Pod): boolean => may(one.uid)
        const safe = safeVictims(pods, most, mayDie)
        expect(safe).toBeLessThanOrEqual(Math.min(most, pods.length))
        expect(possibleDeaths(pods, safe, (one) => tie(one.uid)).every(mayDie)).toBe(true)
      }),
    )
  })

  test('and no more of them could go', () => {
    fc.assert(
      fc.property(anyPods, fc.func(fc.boolean()), (pods, may) => {
        const mayDie = (one: Pod): boolean => may(one.uid)
        const safe = safeVictims(pods, pods.length, mayDie)
        if (safe === pods.length) return
        // One more, and an order of equals exists in which one dies that may not.
        expect(possibleDeaths(pods, safe + 1, (one) => (mayDie(one) ? 1 : 0)).every(mayDie)).toBe(false)
      }),
    )
  })

  test('when the chosen are idle and costs are written, all of them may go', () => {
    fc.assert(
      fc.property(anyPods, fc.nat(12), fc.func(fc.nat(2)), (found, count, work) => {
        const pods = found.map((one) => ({ ...one, annotations: {} }))
        const chosen = chooseVictims(pods, count, {
          held: (one) => work(one.uid),
          preferred: () => false,
          spared: () => false,
        })
        expect(chosen.length).toBeLessThanOrEqual(count)
        const ids = new Set(chosen.map(({ uid }) => uid))
        const after = pods.map((one) => (ids.has(one.uid) ? { ...one, ...withCost(String(DRAINED_COST)) } : one))
        expect(safeVictims(after, chosen.length, ({ uid }) => ids.has(uid))).toBe(chosen.length)
      }),
    )
  })

  test('among equals the idle ones go, then those that are drained already, then the youngest', () => {
    const pods = [
      pod('a', { createdMs: 1 }),
      pod('b', { createdMs: 2 }),
      pod('c', { createdMs: 3 }),
      pod('d', { createdMs: 4 }),
    ]
    const held = ({ uid }: Pod): number => (uid === 'd' ? 2 : 0)
    const choose = (count: number, preferred: string): string =>
      chooseVictims(pods, count, { held, preferred: ({ uid }) => uid === preferred, spared: () => false })
        .map(({ uid }) => uid)
        .join('')
    expect(choose(2, '')).toBe('cb')
    expect(choose(2, 'a')).toBe('ac')
    expect(choose(2, 'd')).toBe('cb')
    expect(choose(4, '')).toBe('cbad')
  })

  test('a pod that is not ready and works holds back all that are ready', () => {
    const pods = [pod('sick', { ready: false }), pod('a'), pod('b')]
    const choose = (held: number): readonly string[] =>
      chooseVictims(pods, 2, {
        held: ({ uid }) => (uid === 'sick' ? held : 0),
        preferred: () => false,
        spared: () => false,
      }).map(({ uid }) => uid)
    expect(choose(1)).toEqual(['sick'])
    expect(choose(0)).toHaveLength(2)
    expect(choose(0)).toContain('sick')
  })
})

test('a cost counts as Kubernetes reads it', () => {
  const costs = ['-5', '7', '-1.5', '', 'x', '+3', '007', '99999999999', String(DRAINED_COST)]
  expect(costs.map((cost) => costOf(pod('a', withCost(cost))))).toEqual([-5, 7, 0, 0, 0, 0, 0, 0, DRAINED_COST])
  expect(costOf(pod('a'))).toBe(0)
})

test('pods of two templates are in a rollout', () => {
  expect(inRollout([pod('a'), pod('b')])).toBe(false)
  expect(inRollout([pod('a'), pod('b', { templateHash: '2' })])).toBe(true)
  expect(inRollout([])).toBe(false)
})

test('selectors are read as the API server writes them', () => {
  const fits = (selector: string, labels: Record<string, string>): boolean => parseSelector(selector)(labels)
  expect(fits('app=w,tier=x', { app: 'w', tier: 'x', more: 'y' })).toBe(true)
  expect(fits('app=w,tier=x', { app: 'w' })).toBe(false)
  expect(fits('app in (v,w),tier notin (x),!gone,there', { app: 'w', there: '' })).toBe(true)
  expect(fits('app in (v,w)', {})).toBe(false)
  expect(fits('app!=w', {})).toBe(true)
  expect(fits('!app', { app: '1' })).toBe(false)
  expect(fits('example.com/app=w', { 'example.com/app': 'w' })).toBe(true)
  expect(() => parseSelector('a=b=c')).toThrow('no label selector')
})

test('what is kept of a pod', () => {
  const found = podOf({
    metadata: {
      name: 'w-1-x',
      namespace: 'default',
      uid: 'u',
      resourceVersion: '1',
      creationTimestamp: '2026-11-23T00:00:00Z',
      labels: { app: 'w', 'pod-template-hash': 'h' },
      annotations: {
        'controller.kubernetes.io/pod-deletion-cost': '3',
        'karpenter.sh/do-not-disrupt': 'true',
        secret: 'x',
      },
      ownerReferences: [{ kind: 'ReplicaSet', name: 'w-1', uid: 'r', controller: true }],
      managedFields: [
        {
          manager: 'kube-controller-manager',
          fieldsV1: { 'f:metadata': { 'f:annotations': { 'f:karpenter.sh/do-not-disrupt': {}, 'f:secret': {} } } },
        },
        {
          manager: 'resqueue-controller',
          fieldsV1: { 'f:metadata': { 'f:annotations': { 'f:controller.kubernetes.io/pod-deletion-cost': {} } } },
        },
        { manager: 'kubelet' },
      ],
    },
    spec: { nodeName: '' },
    status: {
      phase: 'Pending',
      conditions: [
        { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', lastTransitionTime: '2026-11-23T00:00:01Z' },
      ],
      containerStatuses: [
        {
          name: 'worker',
          restartCount: 2,
          state: { waiting: { reason: 'CrashLoopBackOff' } },
          lastState: { terminated: {} },
        },
        { name: 'sidecar', restartCount: 0, state: { running: {} }, lastState: {} },
      ],
    },
  })
  expect(found).toMatchObject({ templateHash: 'h', replicaSet: 'w-1', restarts: 2, down: ['worker'], ready: false })
  expect(found.unschedulableMs).toBe(Date.parse('2026-11-23T00:00:01Z'))
  expect(found.annotations).toEqual({
    'controller.kubernetes.io/pod-deletion-cost': '3',
    'karpenter.sh/do-not-disrupt': 'true',
  })
  expect(found.ours).toEqual(['controller.kubernetes.io/pod-deletion-cost'])
})
