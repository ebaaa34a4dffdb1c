import { expect } from 'vitest'
import { observe } from '../../src/controller/observe.ts'
import { createStartTimes } from '../../src/controller/starts.ts'
import { createViewer } from '../../src/controller/view.ts'
import { selectQueues } from '../../src/queue/selection.ts'
import { openStore } from '../../src/redis/store.ts'
import { test } from '../support/fixtures.ts'
import { pod } from '../support/pods.ts'
import { scalerOf } from '../support/scaler.ts'
import { own } from '../support/scope.ts'

test('what a killed Ruby worker was running counts as long as its pod is there', async ({ redis, redisUrl, ns }) => {
  const [here, gone, other] = ['mailers-7f6c9d5b8-x2x4z', 'mailers-7f6c9d5b8-bb9kq', 'mailers-mail-7f6c9d5b8-bb9kq']
  const neighbour = 'reports-5d4f8b6c7-k8s2p'
  const hosts = [here, gone, other, neighbour, 'mailers-batch-0', 'laptop'] as const
  const store = openStore({ url: redisUrl, namespace: ns })
  own('store', () => store.close())
  for (const host of hosts) {
    await redis.sadd(`${ns}:workers`, `${host}:1:mailers`)
    await redis.set(`${ns}:worker:${host}:1:mailers`, '{"queue":"mailers","run_at":"…","payload":{"class":"A"}}')
  }
  const scaler = scalerOf()
  const selection = selectQueues(scaler.spec.queues)
  const viewer = createViewer(store, AbortSignal.timeout(60_000))
  viewer.want('shop/mailers', selection, 0)
  const { observation } = observe({
    scaler,
    selection,
    view: await viewer.look(0),
    pods: [pod('1', { name: here })],
    replicas: 1,
    isGone: (name) => name === neighbour,
    starts: createStartTimes(),
    shareOf: () => 1,
    hold: null,
    now: Date.now(),
  })
  const counted = observation.foreign.map(({ id, queue }) => `${id} ${queue}`).sort()
  expect(counted).toEqual(
    hosts
      .filter((host) => host !== gone && host !== neighbour)
      .map((host) => `${host}:1:mailers mailers`)
      .sort(),
  )
})
