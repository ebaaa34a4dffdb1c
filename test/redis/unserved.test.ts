import { expect } from 'vitest'
import { tellUnserved } from '../../src/controller/unserved.ts'
import { createViewer } from '../../src/controller/view.ts'
import type { ScalerObject } from '../../src/controller/world.ts'
import { silentLogger } from '../../src/log.ts'
import { newNonce } from '../../src/queue/registry.ts'
import { test } from '../support/fixtures.ts'
import { modelProcess } from '../support/process-model.ts'
import { scalerObject } from '../support/scaler.ts'

test('jobs are counted in queues that no worker serves and no scaler of the same Redis lists', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const serving = (queue: string) => modelProcess(redisUrl, ns, { queues: queue.split(','), nonce: newNonce() })
  const [alive, lapsed] = [serving('reports_*'), serving('lapsed')]
  for (const process of [alive, lapsed]) await process.register()
  await redis.del(`${ns}:ext:lease:${lapsed.registration.nonce}`)
  // One of Ruby's, one that serves nothing because it has skips only, and a stray of ours.
  await redis.sadd(`${ns}:workers`, 'ruby:1:theirs', 'broken:2:!skipped', `host.${newNonce()}.0:3:stray`)
  await redis.set(`${ns}:queue:text`, 'not a list')
  await redis.sadd(`${ns}:queues`, 'empty', 'text')
  const unserved = ['lapsed', 'skipped', 'stray', 'elsewhere', 'mistyped', 'mistyped']
  for (const queue of ['reports_daily', 'theirs', 'scaled', ...unserved]) {
    await redis.sadd(`${ns}:queues`, queue)
    await redis.rpush(`${ns}:queue:${queue}`, '{"class":"A","args":[]}')
  }
  const connection = {
    name: 'default',
    store: alive.store,
    redis: { url: redisUrl, namespace: ns },
    allowedNamespaces: ['*'],
    maxRecoveries: 3,
  }
  const count = async (...specs: Record<string, unknown>[]): Promise<number | undefined> => {
    let counted: number | undefined
    const viewer = createViewer(alive.store, new AbortController().signal)
    const scalers = specs.map((spec) => scalerObject(spec) as unknown as ScalerObject)
    await tellUnserved([{ connection, viewer }], scalers, 0, silentLogger, (_, jobs) => {
      counted = jobs
    })
    return counted
  }
  const elsewhere = { queues: ['elsewhere'], redis: { name: 'other' } }
  expect(await count({ queues: ['scaled', '!reports_*'] }, elsewhere)).toBe(unserved.length)
  expect(await count(elsewhere)).toBe(unserved.length + 1)
  // What is skipped is not served, neither by what a scaler lists nor by a worker that runs.
  expect(await count({ queues: ['*', '!skipped'] })).toBe(1)
  await serving('*,!mistyped').register()
  expect(await count()).toBe(2)
})
