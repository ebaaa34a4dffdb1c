import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { openStore } from '../../src/redis/store.ts'
import { sideBySide } from '../support/aside.ts'
import { startCluster } from '../support/cluster.ts'
import { expectKept, job, startLedger, type Account, type Ledger, type Sent } from '../support/ledger.ts'
import { accountAtRest, recordsOf } from '../support/rest.ts'
import { startSender } from '../support/sender.ts'
import { startSentinel } from '../support/sentinel.ts'
import { waitFor, within } from '../support/wait.ts'
import { startWorkerProcess, type WorkerSetup } from '../support/workers.ts'

interface Failover {
  /** Acknowledged by the old primary, and by WAIT 1 that its replica had it. */
  readonly certain: readonly Sent[]
  /** Acknowledged by the new primary. */
  readonly later: readonly Sent[]
  readonly account: Account
  readonly ledger: Ledger
  readonly held: number
  readonly exits: readonly (number | null)[]
}

/** Asked with a connection of its own: one that was open when the server changed its role may never answer. */
async function isReplica(server: { client(): Redis }): Promise<boolean> {
  const client = server.client()
  try {
    return (await within(2000, client.info('replication'))).includes('role:slave')
  } finally {
    client.disconnect()
  }
}

/** Another server becomes the primary while clients enqueue and workers work. */
async function failOver(how: 'killed' | 'asked'): Promise<Failover> {
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
      // WAIT counts what its own connection wrote: so it writes, behind the enqueue.
      const kept = await within(
        5000,
        waiting.set('mark', n).then(() => waiting.wait(1, 500)),
      ).catch(() => 0)
      if (kept === 1) certain.push(...some)
    }
  })()
  await waitFor(() => certain.length > 100)
  if (how === 'killed') await primary.kill()
  counting = false
  const successor = await (how === 'killed' ? setup.successor(primary) : setup.failover())
  const redis = successor.client()
  // Until it is told, the old primary goes on acknowledging what will be lost.
  if (how === 'asked') {
    await waitFor(() => isReplica(primary))
  }
  const before = sender.acknowledged.length
  await waitFor(() => sender.acknowledged.length > before + 200, {
    describe: 'enqueues to go on',
  })
  sending = false
  await load
  const account = await accountAtRest(redis, ns, ledger)
  const held = await Promise.all(workers.map(({ nonce }) => recordsOf(redis, ns, nonce)))
  const exits = await Promise.all(workers.map((one) => one.stop(20_000)))
  return {
    certain,
    later: sender.acknowledged.slice(before + 100),
    account,
    ledger,
    held: held.flatMap((records) => Object.keys(records)).length,
    exits: exits.map(({ code }) => code),
  }
}

async function workInCluster(): Promise<unknown> {
  const ledger = startLedger()
  const { url } = await startCluster()
  const ns = '{resque}'
  const sender = startSender(url, ns)
  const setup: WorkerSetup = { redis: url, ns, ledger, queues: 'high,low', concurrency: 3 }
  const first = await startWorkerProcess(setup)
  const many = Array.from({ length: 100 }, (_, n) =>
    job(n % 2 === 0 ? 'high' : 'low', n % 10 === 0 ? 'Fail' : 'Note', [n % 5]),
  )
  const slow = job('high', 'Gate', [ledger.gate])
  await sender.send(...many)
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
    return {
      performed: new Set(ledger.of('end').map(({ id }) => id)).size,
      statFailed: await store.command('get', [`${ns}:stat:failed`]),
      failed: await store.command('llen', [`${ns}:failed`]),
      exit: await second.stop(),
    }
  } finally {
    store.close()
  }
}

const scenarios = sideBySide({
  killed: () => failOver('killed'),
  asked: () => failOver('asked'),
  cluster: workInCluster,
})

describe('Sentinel', () => {
  for (const [what, outcome] of [
    ['the primary is killed', scenarios.killed],
    ['it is asked to fail over', scenarios.asked],
  ] as const) {
    test(`loses nothing under load that WAIT 1 or the new primary acknowledged, when ${what}`, () => {
      const { certain, later, account, ledger, held, exits } = outcome()
      expectKept([...certain, ...later], account, ledger)
      expect({ held, exits }).toEqual({ held: 0, exits: [0, 0] })
    })
  }
})

describe('Redis Cluster', () => {
  test('serves workers and clients in a namespace with a hash tag', () => {
    const exit = { code: 0, signal: null }
    expect(scenarios.cluster()).toEqual({ performed: 101, statFailed: '10', failed: 10, exit })
  })
})
