import { expect } from 'vitest'
import { countingUnserved } from '../../src/controller/unserved.ts'
import { createViewer } from '../../src/controller/view.ts'
import { silentLogger } from '../../src/log.ts'
import { newNonce } from '../../src/queue/registry.ts'
import { selectQueues } from '../../src/queue/selection.ts'
import { test } from '../support/fixtures.ts'
import { modelProcess } from '../support/process-model.ts'
import { waitFor } from '../support/wait.ts'

test('jobs are counted in queues that no worker serves and no scaler lists, twice a minute', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const process = modelProcess(redisUrl, ns, { queues: ['ours', 'reports_*'], nonce: newNonce() })
  await process.register()
  // The second serves nothing: it has skips only.
  await redis.sadd(`${ns}:workers`, 'ruby:1:theirs', 'broken:2:!skipped')
  await redis.sadd(`${ns}:queues`, 'empty')
  for (const queue of ['ours', 'reports_daily', 'theirs', 'scaled', 'skipped', 'mistyped', 'mistyped']) {
    await redis.sadd(`${ns}:queues`, queue)
    await redis.rpush(`${ns}:queue:${queue}`, '{"class":"A","args":[]}')
  }
  const { store } = process
  const connection = {
    name: 'default',
    store,
    redis: { url: redisUrl, namespace: ns },
    allowedNamespaces: ['*'],
    maxRecoveries: 3,
  }
  let seconds = 0
  const counts: (readonly [string, number])[] = []
  const viewer = countingUnserved(
    createViewer(store, new AbortController().signal),
    connection,
    silentLogger,
    (...count) => counts.push(count),
    { now: () => Date.now(), monotonic: () => 1000 * seconds },
  )
  viewer.want('shop/scaled', selectQueues(['scaled']), 0)
  const lookAt = async (second: number): Promise<void> => {
    seconds = second
    await viewer.look(0)
  }
  for (const second of [0, 29, 30, 31]) await lookAt(second)
  await waitFor(() => counts.length > 0)
  viewer.want('shop/scaled', undefined, 0)
  await lookAt(60)
  await waitFor(() => counts.length > 1)
  expect(counts).toEqual([
    ['default', 3],
    ['default', 4],
  ])
})
