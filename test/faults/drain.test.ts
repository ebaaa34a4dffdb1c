import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { expectKept, idOf, job, startLedger, takeAccount } from '../support/ledger.ts'
import { startProxy } from '../support/proxy.ts'
import { accountAtRest, isTurn, recordsOf } from '../support/rest.ts'
import { chanceOfTest } from '../support/seed.ts'
import { startSender } from '../support/sender.ts'
import { never, waitFor } from '../support/wait.ts'
import { startWorkerProcess, type WorkerSetup } from '../support/workers.ts'

const POD = { POD_NAME: 'mailer-1', POD_NAMESPACE: 'mail', POD_UID: 'd1' }
const mark = (ns: string): string => `${ns}:ext:draining:mail/d1`

describe('a drain mark', () => {
  test('ends the taking of jobs at once, under load, whatever replies are lost', async ({ redis, redisUrl, ns }) => {
    const random = chanceOfTest()
    const ledger = startLedger()
    const sender = startSender(redisUrl, ns)
    const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
    const worker = await startWorkerProcess({ redis: proxy.url, ns, ledger, concurrency: 4, env: POD })
    const sent = Array.from({ length: 900 }, () => job('q', 'Note', [random.between(0, 4)]))
    for (let at = 0; at < sent.length; at += 300) await sender.send(...sent.slice(at, at + 300))
    proxy.decide = ({ name }) => (name === 'EVALSHA' && random.next() < 0.1 ? { kind: 'drop-reply' } : undefined)
    for (let round = 0; round < 3; round++) {
      await waitFor(async () => (await redis.llen(`${ns}:queue:q`)) < sent.length - 150 * (round + 1))
      // The mark and the queue in one instant: what is taken later is too much.
      const [[, set], [, waiting]] = (await redis
        .multi()
        .set(mark(ns), 'owner', 'PX', 60_000)
        .llen(`${ns}:queue:q`)
        .exec()) as [[null, string], [null, number]]
      expect(set).toBe('OK')
      await waitFor(async () => Object.keys(await recordsOf(redis, ns, worker.nonce)).length === 0, {
        describe: 'the drained worker to be idle',
      })
      expect(await redis.llen(`${ns}:queue:q`)).toBe(waiting)
      expect(waiting).toBeGreaterThan(0)
      expect((await worker.get('/readyz')).status).toBe(200)
      await redis.del(mark(ns))
    }
    proxy.decide = undefined
    const account = await accountAtRest(redis, ns, ledger)
    expectKept(sent, account, ledger)
    expect([...account.performed.values()].every((times) => times === 1)).toBe(true)
    await worker.stop()
  })

  test('still lets a job run whose reservation was granted before it and whose reply was lost', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const ledger = startLedger()
    const sender = startSender(redisUrl, ns)
    const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
    // Polling: a turn that waits behind a token would be answered past the fault that is armed below.
    const worker = await startWorkerProcess({ redis: proxy.url, ns, ledger, env: POD, args: ['--no-blocking'] })
    const one = job('q', 'Note', [0])
    const two = job('q', 'Note', [0])
    // A turn before this one would be sent again and again in its place.
    await waitFor(async () => Number(await redis.hget(`${ns}:ext:inflight:${worker.nonce}`, 'k')) > 0)
    const losing = proxy.on(isTurn, { kind: 'drop-reply' }, Infinity)
    await sender.send(one, two)
    await waitFor(async () => Object.keys(await recordsOf(redis, ns, worker.nonce)).length === 1)
    await redis.set(mark(ns), 'owner', 'PX', 60_000)
    losing.off()
    expect(ledger.of('start')).toEqual([])
    await ledger.sees('end', one.id)
    await waitFor(async () => Object.keys(await recordsOf(redis, ns, worker.nonce)).length === 0)
    await never(1200, () => ledger.of('start', two.id).length > 0, 'a start on a drained pod')
    expect((await redis.lrange(`${ns}:queue:q`, 0, -1)).map(idOf)).toEqual([two.id])
    await redis.del(mark(ns))
    await ledger.sees('end', two.id)
    expectKept([one, two], await takeAccount(redis, ns, ledger), ledger)
    await worker.stop()
  })

  test('of another pod says nothing to this one', async ({ redis, redisUrl, ns }) => {
    const ledger = startLedger()
    const sender = startSender(redisUrl, ns)
    await redis.set(mark(ns), 'owner', 'PX', 60_000)
    const setup: WorkerSetup = { redis: redisUrl, ns, ledger, env: { ...POD, POD_UID: 'd2' } }
    const worker = await startWorkerProcess(setup)
    const one = job('q', 'Note', [0])
    await sender.send(one)
    await ledger.sees('end', one.id)
    await worker.stop()
  })
})
