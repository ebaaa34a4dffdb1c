import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { sideBySide } from '../support/aside.ts'
import { chance } from '../support/chance.ts'
import { job, startLedger, type Ledger, type Sent } from '../support/ledger.ts'
import { startRedis } from '../support/redis.ts'
import { startSender } from '../support/sender.ts'
import { startWorkerProcess, type WorkerSetup } from '../support/workers.ts'

const INTERVAL_S = 0.5
/** No job waits longer beside an idle worker; a second of it is for a machine that is busy with something else. */
const LIMIT_MS = INTERVAL_S * 1000 + 1000

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
  watching.catch(() => undefined) // told by whoever stops it
  return async () => {
    going = false
    await watching
    return most
  }
}

/** Milliseconds that jobs waited beside idle slots, by pattern, and the longest token list that was seen. */
interface Measured {
  readonly waits: readonly (readonly [pattern: string, ms: number])[]
  readonly tokens: number
}

/** Two workers with two slots each, of which at most three are ever taken, and many ways for jobs to come. */
async function manyWays(args: readonly string[]): Promise<Measured> {
  const random = chance()
  const ledger = startLedger()
  const server = await startRedis()
  const [redis, ns] = [server.client(), 'resque']
  const sender = startSender(server.url, ns)
  const client = new ResQueue({ redis: server.url })
  const setup: WorkerSetup = {
    redis: server.url,
    ns,
    ledger,
    queues: QUEUES.join(','),
    concurrency: 2,
    args: ['--interval', `${INTERVAL_S}`, ...args],
  }
  const workers = await Promise.all([startWorkerProcess(setup), startWorkerProcess(setup)])
  const tokens = watchTokens(redis, ns)
  const short = (queue: string = random.pick(QUEUES)): Sent => job(queue, 'Note', [random.between(0, 30)])
  const patterns: Record<string, () => Promise<number[]>> = {
    'one of ours': async () => {
      const one = short()
      await sender.send(one)
      return waits(ledger, Date.now(), one)
    },
    'three of ours in one call': async () => {
      const three = QUEUES.map((queue) => short(queue))
      await sender.send(...three)
      return waits(ledger, Date.now(), ...three)
    },
    'three of ours in one queue': async () => {
      const three = QUEUES.map(() => short('c'))
      await sender.send(...three)
      return waits(ledger, Date.now(), ...three)
    },
    'one foreign': async () => {
      const one = short()
      await pushForeign(redis, ns, one)
      return waits(ledger, Date.now(), one)
    },
    'one foreign behind one of ours that has just ended': async () => {
      const [ours, foreign] = [short('a'), short('b')]
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
      const [ours, foreign] = [short('b'), short('c')]
      await sender.send(ours)
      await pushForeign(redis, ns, foreign)
      return waits(ledger, Date.now(), ours, foreign)
    },
    'one that waited in a paused queue': async () => {
      await client.queues.pause('c')
      const one = short('c')
      await sender.send(one, short('a'))
      await delay(random.between(0, 1500))
      await client.queues.resume('c')
      return waits(ledger, Date.now(), one)
    },
  }
  const found: [string, number][] = []
  for (let round = 0; round < 3; round++) {
    for (const [name, pattern] of Object.entries(patterns)) {
      for (const ms of await pattern()) found.push([name, ms])
      await delay(random.between(0, 40))
    }
  }
  const longest = await tokens()
  await client.close()
  for (const worker of workers) await worker.stop()
  return { waits: found, tokens: longest }
}

/** One slot that was busy for so long that its worker had planned its next look as a busy one does. */
async function fallingIdle(): Promise<Measured> {
  const ledger = startLedger()
  const server = await startRedis()
  const sender = startSender(server.url, 'resque')
  const worker = await startWorkerProcess({
    redis: server.url,
    ns: 'resque',
    ledger,
    queues: 'a,b',
    args: ['--interval', `${INTERVAL_S}`],
  })
  const found: [string, number][] = []
  for (let round = 0; round < 6; round++) {
    const [busy, foreign] = [job('a', 'Note', [900 + 150 * round]), job('b', 'Note', [0])]
    await sender.send(busy)
    await ledger.sees('end', busy.id)
    await delay(50)
    await pushForeign(server.client(), 'resque', foreign)
    for (const ms of await waits(ledger, Date.now(), foreign)) found.push([`after ${900 + 150 * round} ms`, ms])
  }
  await worker.stop()
  return { waits: found, tokens: 0 }
}

const measured = sideBySide({
  waiting: () => manyWays([]),
  polling: () => manyWays(['--no-blocking']),
  falling: fallingIdle,
})

describe('no job waits longer than the interval and half a second', () => {
  test('beside an idle worker that waits for tokens', () => {
    expect(measured.waiting().waits.filter(([, ms]) => ms > LIMIT_MS)).toEqual([])
  })

  test('beside an idle worker that only polls', () => {
    expect(measured.polling().waits.filter(([, ms]) => ms > LIMIT_MS)).toEqual([])
  })

  test('beside a worker that has just fallen idle', () => {
    expect(measured.falling().waits.filter(([, ms]) => ms > LIMIT_MS)).toEqual([])
  })
})

test('a queue never has more than one token', () => {
  expect(measured.waiting().tokens).toBe(1)
  expect(measured.polling().tokens).toBeLessThanOrEqual(1)
})
