import { expect } from 'vitest'
import { observe, type Observed, type ObserveInput } from '../../src/controller/observe.ts'
import { createStartTimes } from '../../src/controller/starts.ts'
import { createViewer } from '../../src/controller/view.ts'
import { newNonce, register } from '../../src/queue/registry.ts'
import { selectQueues } from '../../src/queue/selection.ts'
import { openStore, type Store } from '../../src/redis/store.ts'
import { test } from '../support/fixtures.ts'
import { pod } from '../support/pods.ts'
import { modelProcess } from '../support/process-model.ts'
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
  const pods = [pod('1', { name: here })]
  const { observation } = await observed(store, { pods, isGone: (name) => name === neighbour })
  const counted = observation.foreign.map(({ id, queue }) => `${id} ${queue}`).sort()
  expect(counted).toEqual(
    hosts
      .filter((host) => host !== gone && host !== neighbour)
      .map((host) => `${host}:1:mailers mailers`)
      .sort(),
  )
})

test('queues that workers serve are compared with those of the scaler, and what they skip where all say it', async ({
  redisUrl,
  ns,
}) => {
  const { store, registration } = modelProcess(redisUrl, ns, { queues: ['mail_*', '!mail_slow'], nonce: newNonce() })
  const start = async (uid: string, skips?: readonly string[]): Promise<void> => {
    const { skips: _, ...older } = registration
    const its = { ...older, nonce: newNonce(), pod: `w-${uid}`, pod_namespace: 'default', pod_uid: uid }
    await register(store, skips ? { ...its, skips } : its)
  }
  const others = async (...queues: readonly string[]): Promise<readonly string[] | undefined> =>
    (await observed(store, { scaler: scalerOf({ queues }), pods: [pod('new'), pod('old')] })).otherQueues
  const served = ['!mail_slow', 'mail_*']

  await start('new', ['!mail_slow'])
  expect(await others('!mail_slow', 'mail_*')).toBeUndefined()
  expect(await others('mail_*')).toEqual(served)
  expect(await others('mail_*', '!mail_slow', '!mail_odd')).toEqual(served)
  await start('old')
  expect(await others('mail_*')).toBeUndefined()
  expect(await others('*')).toEqual(['mail_*'])
})

/** What a controller makes of Redis as it is, for two replicas of a scaler. */
async function observed(store: Store, input: Partial<ObserveInput> & Pick<ObserveInput, 'pods'>): Promise<Observed> {
  const scaler = input.scaler ?? scalerOf()
  const selection = selectQueues(scaler.spec.queues)
  const viewer = createViewer(store, AbortSignal.timeout(60_000))
  viewer.want('shop/mailers', selection, 0)
  return observe({
    scaler,
    selection,
    view: await viewer.look(0),
    replicas: input.pods.length,
    isGone: () => false,
    starts: createStartTimes(),
    shareOf: () => 1,
    hold: null,
    now: Date.now(),
    ...input,
  })
}
