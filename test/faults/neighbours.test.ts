import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { expectKept, job, takeAccount, type Sent } from '../support/ledger.ts'
import { pruneLikePhp, pruneLikeRuby } from '../support/prunes.ts'
import { accountAtRest, fencings, releases } from '../support/rest.ts'
import { scenario, type Scenario } from '../support/scenario.ts'
import { chanceOfTest } from '../support/seed.ts'
import { waitFor } from '../support/wait.ts'
import type { Worker } from '../support/workers.ts'

/** A payload that is the same after Ruby has decoded and encoded it. */
function canonical(gate: string): Sent {
  const id = `canonical-${Math.random().toString(36).slice(2)}`
  return { id, queue: 'q', raw: JSON.stringify({ class: 'Gate', args: [gate], id }) }
}

/** A worker takes the job, is pruned by a neighbour meanwhile, and is killed. The worker that comes after it. */
async function pruneAndLose(
  redis: Redis,
  ns: string,
  { ledger, sender, start }: Scenario,
  slow: Sent,
  prune: typeof pruneLikeRuby,
): Promise<Worker> {
  const worker = await start()
  await sender.send(slow)
  await ledger.sees('start', slow.id)
  const [id = ''] = await redis.smembers(`${ns}:workers`)
  await prune(redis, ns, id)
  await worker.process.kill()
  return start()
}

describe('foreign prunes', () => {
  test('at any time cost no job and no run, and what they remove comes back', async ({ redis, redisUrl, ns }) => {
    const random = chanceOfTest()
    const { ledger, sender, start } = scenario(redisUrl, ns, { concurrency: 3 })
    const workers = await Promise.all([start(), start()])
    const ids = await redis.smembers(`${ns}:workers`)
    expect(ids.length).toBe(6)
    let prunes = 0
    for (let round = 0; round < 100; round++) {
      if (round % 3 === 0)
        await sender.send(
          ...Array.from({ length: random.between(1, 6) }, () => job('q', 'Note', [random.between(0, 60)])),
        )
      await (random.next() < 0.5 ? pruneLikeRuby : pruneLikePhp)(redis, ns, random.pick(ids))
      prunes++
      await delay(random.between(0, 25))
    }
    const account = await accountAtRest(redis, ns, ledger)
    expectKept(sender.acknowledged, { ...account, failed: new Map() }, ledger)
    expect([...account.performed.values()].every((times) => times === 1)).toBe(true)
    await waitFor(async () => Number(await redis.get(`${ns}:stat:processed`)) === account.performed.size)
    // Within one heartbeat for the family all is as it was.
    await waitFor(async () => (await redis.scard(`${ns}:workers`)) === 6, {
      timeoutMs: 20_000,
      describe: 'the registrations to come back',
    })
    expect((await redis.smembers(`${ns}:workers`)).sort()).toEqual(ids.sort())
    await waitFor(async () => (await redis.hkeys(`${ns}:workers:heartbeat`)).length === 6)
    expect(fencings(workers) + releases(workers)).toBe(0)
    expect(prunes).toBe(100)
    for (const worker of workers) await worker.stop()
    expect(await redis.scard(`${ns}:workers`)).toBe(0)
  })

  test('of Ruby that failed a job leave it failed when its worker is really lost afterwards', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const here = scenario(redisUrl, ns)
    const { ledger } = here
    const slow = canonical(ledger.gate)
    const heir = await pruneAndLose(redis, ns, here, slow, pruneLikeRuby)
    await heir.says('released a gone worker')
    const account = await takeAccount(redis, ns, ledger)
    expect([...account.failed.keys()]).toEqual([slow.id])
    expect(account.waiting.size + account.held.size).toBe(0)
    expect(ledger.of('start', slow.id).length).toBe(1)
    await heir.stop()
  })

  test('of PHP that forgot a job do not keep it from coming back when its worker is lost', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const here = scenario(redisUrl, ns)
    const { ledger } = here
    const slow = job('q', 'Gate', [ledger.gate])
    const heir = await pruneAndLose(redis, ns, here, slow, pruneLikePhp)
    await ledger.sees('start', slow.id, 2)
    ledger.open()
    const account = await accountAtRest(redis, ns, ledger)
    expectKept([slow], account, ledger)
    expect(account.failed.size).toBe(0)
    await heir.stop()
  })

  test('of Ruby that failed an equal job long ago do not keep a lost one from coming back', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const here = scenario(redisUrl, ns)
    const { ledger } = here
    const slow = canonical(ledger.gate)
    const entry = {
      failed_at: '2026/01/01 00:00:00 UTC',
      payload: JSON.parse(slow.raw) as unknown,
      exception: 'Resque::DirtyExit',
      error: '',
      backtrace: [],
      worker: 'elsewhere:1:q',
      queue: 'q',
    }
    await redis.rpush(`${ns}:failed`, JSON.stringify(entry))
    const heir = await pruneAndLose(redis, ns, here, slow, pruneLikePhp)
    await ledger.sees('start', slow.id, 2)
    ledger.open()
    await ledger.sees('end', slow.id)
    await heir.stop()
  })
})
