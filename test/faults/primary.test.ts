import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { openStore } from '../../src/redis/store.ts'
import { startCluster } from '../support/cluster.ts'
import { expectKept, job, startLedger, type Sent } from '../support/ledger.ts'
import { accountAtRest, recordsOf } from '../support/rest.ts'
import { startSender } from '../support/sender.ts'
import { startSentinel } from '../support/sentinel.ts'
import { waitFor } from '../support/wait.ts'
import { startWorkerProcess, type WorkerSetup } from '../support/workers.ts'

describe('Sentinel', () => {
  test('fails over under load, and what WAIT 1 acknowledged is kept', async () => {
    const ledger = startLedger()
    const setup = await startSentinel()
    const ns = 'resque'
    const worker: WorkerSetup = { redis: setup.url, ns, ledger, isolation: 'fork', concurrency: 4 }
    const workers = await Promise.all([startWorkerProcess(worker), startWorkerProcess(worker)])
    const sender = startSender(setup.url, ns)
    const primary = await setup.primary()
    const waiting = primary.client()
    const certain: Sent[] = []
    let sending = true
    let counting = true
    const load = (async () => {
      for (let n = 0; sending; n++) {
        await delay(5)
        const some = Array.from({ length: 5 }, () => job('q', 'Note', [n % 20]))
        const before = sender.acknowledged.length
        await sender.send(...some)
        if (sender.acknowledged.length === before || !counting) continue
        // On another connection: WAIT counts what this one wrote, so it writes.
        const kept = await waiting
          .set('mark', n)
          .then(() => waiting.wait(1, 500))
          .catch(() => 0)
        if (kept === 1) certain.push(...some)
      }
    })()
    await waitFor(() => certain.length > 100)
    await primary.kill()
    counting = false
    const successor = await setup.successor(primary)
    const redis = successor.client()
    const before = sender.acknowledged.length
    await waitFor(() => sender.acknowledged.length > before + 100, { timeoutMs: 30_000, describe: 'enqueues to go on' })
    sending = false
    await load
    const account = await accountAtRest(redis, ns, ledger)
    expectKept(certain, account, ledger)
    // After the failover nothing may be missing that the new primary acknowledged.
    expectKept(sender.acknowledged.slice(before), account, ledger)
    for (const { nonce } of workers) expect(await recordsOf(redis, ns, nonce)).toEqual({})
    for (const one of workers) expect((await one.stop(20_000)).code).toBe(0)
  })
})

describe('Redis Cluster', () => {
  test('serves workers and clients in a namespace with a hash tag', async () => {
    const ledger = startLedger()
    const { url } = await startCluster()
    const ns = '{resque}'
    const sender = startSender(url, ns)
    const setup: WorkerSetup = { redis: url, ns, ledger, queues: 'high,low', concurrency: 3 }
    const first = await startWorkerProcess(setup)
    await sender.send(...Array.from({ length: 100 }, (_, n) => job(n % 2 === 0 ? 'high' : 'low', n % 10 === 0 ? 'Fail' : 'Note', [n % 5])))
    const slow = job('high', 'Gate', [ledger.gate])
    await sender.send(slow)
    await ledger.sees('start', slow.id)
    await first.process.kill()
    const second = await startWorkerProcess(setup)
    await ledger.sees('start', slow.id, 2)
    ledger.open()
    await ledger.sees('end', slow.id)
    const store = openStore({ url, namespace: ns })
    try {
      await waitFor(async () => (await store.command('get', [`${ns}:stat:processed`])) === '101')
      expect(await store.command('get', [`${ns}:stat:failed`])).toBe('10')
      expect(await store.command('llen', [`${ns}:failed`])).toBe(10)
    } finally {
      store.close()
    }
    expect(new Set(ledger.of('end').map(({ id }) => id)).size).toBe(101)
    expect(await second.stop()).toEqual({ code: 0, signal: null })
  })
})
