import { expect, test } from 'vitest'
import { createSharing, type Sharing } from '../../src/controller/sharing.ts'
import type { ScalerObject } from '../../src/controller/world.ts'
import { scalerObject } from '../support/scaler.ts'

/** `namespace/name`, of a Deployment of its own name on the queue `mail`. */
function scaler(key: string, spec: object = {}, createdSecond = 0): ScalerObject {
  const [namespace, name] = key.split('/') as [string, string]
  const target = { apiVersion: 'apps/v1', kind: 'Deployment', name }
  return {
    ...scalerObject({ scaleTargetRef: target, queues: ['mail'], maxReplicas: 20, ...spec }),
    metadata: {
      name,
      namespace,
      uid: key,
      resourceVersion: '1',
      creationTimestamp: new Date(createdSecond * 1000).toISOString(),
    },
  }
}

const share = (objects: readonly ScalerObject[], idle: readonly string[] = []): Sharing =>
  createSharing(
    objects,
    () => ['mail', 'news'],
    (key) => !idle.includes(key),
  )

test('a queue is shared out by maxReplicas and slots, globs included', () => {
  const { shareOf } = share([
    scaler('shop/mail'),
    scaler('shop/all', { queues: ['*'], maxReplicas: 30, slotsPerReplica: 8 }),
    scaler('shop/else', { redis: { name: 'other' } }),
  ])
  expect(shareOf('shop/mail', 'mail')).toBe(80 / (80 + 240))
  expect(shareOf('shop/all', 'mail')).toBe(240 / (80 + 240))
  expect(shareOf('shop/all', 'news')).toBe(1)
  expect(shareOf('shop/else', 'mail')).toBe(1)
})

test('one that may not use the connection, or has no target, takes nothing from its neighbours', () => {
  const greedy = scaler('evil/nothing', { maxReplicas: 1_000_000, slotsPerReplica: 512 })
  const both = [scaler('shop/mail'), greedy]
  expect(share(both).shareOf('shop/mail', 'mail')).toBeLessThan(1e-6)
  expect(share(both, ['evil/nothing']).shareOf('shop/mail', 'mail')).toBe(1)
})

test('one that is not counted sees the share that it would have', () => {
  const three = [scaler('shop/mail'), scaler('shop/paused', { paused: true }), scaler('shop/idle')]
  const { shareOf } = share(three, ['shop/idle'])
  expect(['shop/mail', 'shop/paused', 'shop/idle'].map((key) => shareOf(key, 'mail'))).toEqual([1, 0.5, 0.5])
})

test('of several for one target the oldest counts, then the one with the least uid', () => {
  const target = { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'mail' } }
  const { rivalOf, shareOf } = share([
    scaler('shop/b', target, 5),
    scaler('shop/a', target, 5),
    scaler('shop/c', target),
  ])
  expect(['a', 'b', 'c'].map((name) => rivalOf(`shop/${name}`)?.key)).toEqual(['shop/c', 'shop/c', undefined])
  expect(shareOf('shop/c', 'mail')).toBe(1)
  const { rivalOf: later } = share([scaler('shop/b', target, 5), scaler('shop/a', target, 5)])
  expect(later('shop/b')?.key).toBe('shop/a')
})
