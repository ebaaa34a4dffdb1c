import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { describe, expect } from 'vitest'
import { chanceOfTest } from '../support/chance.ts'
import { test } from '../support/fixtures.ts'
import { job, startLedger, type Ledger, type Sent } from '../support/ledger.ts'
import { startSender } from '../support/sender.ts'
import { startWorkerProcess, type WorkerSetup } from '../support/workers.ts'

const INTERVAL_S = 0.5
/** No job waits longer beside an idle worker. */
const LIMIT_MS = INTERVAL_S * 1000 + 500

const QUEUES = ['a', 'b', 'c']

/** As any program of the family enqueues: nothing rings. */
async function pushForeign(redis: Redis, ns: string, ...jobs: readonly Sent[]): Promise<void> {
  for (const { queue, raw } of jobs) {
    await redis.sadd(`${ns}:queues`, queue)
    await redis.rpush(`${ns}:queue:${queue}`, raw)
  }
}

/** Milliseconds from `since` until each job began. */
async function waits(ledger: Ledger, since: number, ...jobs: readonly Sent[]): Promise<number[]> {
  const starts = await Promise.all(jobs.map(({ id }) => ledger.sees('start', id)))
  return starts.map(({ at }) => at - since)
}

/** Watches that no token list ever grows beyond one, until told to stop. */
function watchTokens(redis: Redis, ns: string): () => Promise<number> {
  let going = true
  let most = 0
  const watching = (async () => {
    while (going) {
      const lengths = await Promise.all(QUEUES.map((queue) => redis.llen(`${ns}:ext:token:${queue}`)))
      most = Math.max(most, ...lengths)
      await delay(2)
    }
  })()
  return async () => {
    going = false
    await watching
    return most
  }
}

describe('beside an idle worker', () => {
  for (const [how, args] of [
    ['waits for tokens', []],
    ['only polls', ['--no-blocking']],
  ] as const) {
    test(`that ${how}, no job waits longer than the interval and half a second`, async ({ redis, redisUrl, ns }) => {
      const random = chanceOfTest()
      const ledger = startLedger()
      const sender = startSender(redisUrl, ns)
      const setup: WorkerSetup = { redis: redisUrl, ns, ledger, queues: QUEUES.join(','), concurrency: 2, args: ['--interval', `${INTERVAL_S}`, ...args] }
      const workers = await Promise.all([startWorkerProcess(setup), startWorkerProcess(setup)])
      const tokens = watchTokens(redis, ns)
      const seen: [string, number][] = []
      // At most three of the four slots are ever taken.
      const patterns: Record<string, () => Promise<number[]>> = {
        'one of ours': async () => {
          const one = job(random.pick(QUEUES), 'Note', [random.between(0, 30)])
          await sender.send(one)
          return waits(ledger, Date.now(), one)
        },
        'three of ours in one call': async () => {
          const three = QUEUES.map((queue) => job(queue, 'Note', [random.between(0, 30)]))
          await sender.send(...three)
          return waits(ledger, Date.now(), ...three)
        },
        'three of ours in one queue': async () => {
          const three = QUEUES.map(() => job('c', 'Note', [random.between(0, 30)]))
          await sender.send(...three)
          return waits(ledger, Date.now(), ...three)
        },
        'one foreign': async () => {
          const one = job(random.pick(QUEUES), 'Note', [random.between(0, 30)])
          await pushForeign(redis, ns, one)
          return waits(ledger, Date.now(), one)
        },
        'one foreign behind one of ours that has just ended': async () => {
          const [ours, foreign] = [job('a', 'Note', [20]), job('b', 'Note', [0])]
          await sender.send(ours)
          await ledger.sees('end', ours.id)
          await delay(random.between(0, 60))
          await pushForeign(redis, ns, foreign)
          return waits(ledger, Date.now(), foreign)
        },
        'ours and a foreign one while both workers are half busy': async () => {
          const long = [job('a', 'Note', [700]), job('a', 'Note', [700])]
          await sender.send(...long)
          for (const { id } of long) await ledger.sees('start', id)
          const [ours, foreign] = [job('b', 'Note', [0]), job('c', 'Note', [0])]
          await sender.send(ours)
          await pushForeign(redis, ns, foreign)
          return waits(ledger, Date.now(), ours, foreign)
        },
      }
      for (let round = 0; round < 3; round++) {
        for (const [name, pattern] of Object.entries(patterns)) {
          for (const wait of await pattern()) seen.push([name, wait])
          await delay(random.between(0, 40))
        }
      }
      expect(await tokens()).toBeLessThanOrEqual(1)
      expect(seen.filter(([, wait]) => wait > LIMIT_MS)).toEqual([])
      for (const worker of workers) await worker.stop()
    })
  }

  test('a job that comes as all slots fall idle does not wait longer either', async ({ redis, redisUrl, ns }) => {
    const ledger = startLedger()
    const sender = startSender(redisUrl, ns)
    const worker = await startWorkerProcess({ redis: redisUrl, ns, ledger, queues: 'a,b', args: ['--interval', `${INTERVAL_S}`] })
    const late: number[] = []
    for (let round = 0; round < 5; round++) {
      // Long enough for the worker to have planned its next look while it was busy.
      const [busy, foreign] = [job('a', 'Note', [1100 + 400 * round]), job('b', 'Note', [0])]
      await sender.send(busy)
      await ledger.sees('end', busy.id)
      await delay(50)
      await pushForeign(redis, ns, foreign)
      late.push(...(await waits(ledger, Date.now(), foreign)))
    }
    expect(late.filter((wait) => wait > LIMIT_MS)).toEqual([])
    await worker.stop()
  })
})
