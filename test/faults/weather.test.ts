import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { describe, expect } from 'vitest'
import { weather, type Chance } from '../support/chance.ts'
import { test } from '../support/fixtures.ts'
import { expectKept, job, startLedger, type Account, type Ledger, type Sent } from '../support/ledger.ts'
import { startProxy, type Fault } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { accountAtRest, fencings, flowOf, isTurn } from '../support/rest.ts'
import { chanceOfTest } from '../support/seed.ts'
import { startSender, type Sender } from '../support/sender.ts'
import { waitFor } from '../support/wait.ts'
import { startWorkerProcess, type Worker, type WorkerSetup } from '../support/workers.ts'

const QUEUES = ['high', 'low', 'other']

function drawJob(random: Chance, longestMs: number): Sent {
  const kind = random.next() < 0.1 ? 'Fail' : 'Note'
  return job(random.pick(QUEUES), kind, [random.between(0, longestMs)])
}

/** Sends `total` jobs in calls of random size, several calls at once. */
async function sendMany(
  senders: readonly Sender[],
  random: Chance,
  total: number,
  longestMs: number,
  pauseMs = 0,
): Promise<void> {
  await Promise.all(
    senders.map(async (sender) => {
      for (let left = Math.ceil(total / senders.length); left > 0;) {
        const size = Math.min(left, random.between(1, 20))
        await sender.send(...Array.from({ length: size }, () => drawJob(random, longestMs)))
        left -= size
        if (pauseMs > 0) await delay(random.between(0, pauseMs))
      }
    }),
  )
}

/** Sends a few jobs now and then, as long as it is told. */
async function sendWhile(going: () => boolean, senders: readonly Sender[], random: Chance): Promise<void> {
  while (going()) {
    await sendMany(senders, random, 10, 80)
    await delay(random.between(50, 300))
  }
}

/** Ids whose jobs have left the system: each must have left once. */
function left({ performed, failed }: Account): Set<string> {
  return new Set([...performed.keys(), ...failed.keys()])
}

/** Nothing acknowledged is missing, nothing refused is there, and no end was counted twice. */
async function expectSound(
  redis: Redis,
  ns: string,
  account: Account,
  ledger: Ledger,
  senders: readonly Sender[],
): Promise<void> {
  expectKept(
    senders.flatMap(({ acknowledged }) => acknowledged),
    account,
    ledger,
  )
  const gone = left(account)
  expect(senders.flatMap(({ refused }) => refused).filter(({ id }) => gone.has(id))).toEqual([])
  expect(account.quarantined.size).toBe(0)
  expect(Number(await redis.get(`${ns}:stat:processed`))).toBe(gone.size)
  for (const queue of QUEUES) {
    const { started, ended, returned } = await flowOf(redis, ns, queue)
    expect(started, `flow of ${queue}`).toBe(ended + returned)
  }
}

describe('weather', () => {
  test('each job is performed once while replies are lost, late and doubled', async ({ redis, redisUrl, ns }) => {
    const random = chanceOfTest()
    const ledger = startLedger()
    const target = { port: Number(new URL(redisUrl).port) }
    const [working, sending] = await Promise.all([startProxy(target), startProxy(target)])
    const setup: WorkerSetup = { redis: working.url, ns, ledger, queues: QUEUES.join(','), concurrency: 5 }
    // Twenty slots take their turns in two shifts, with two calls under way.
    const launched = await Promise.all([startWorkerProcess(setup), startWorkerProcess({ ...setup, concurrency: 20 })])
    working.decide = weather(random, 0.04)
    sending.decide = weather(random, 0.04)
    const senders = [startSender(sending.url, ns), startSender(sending.url, ns)]
    await sendMany(senders, random, 2000, 12)
    const account = await accountAtRest(redis, ns, ledger)
    await expectSound(redis, ns, account, ledger, senders)
    expect([...account.performed.values()].filter((times) => times > 1)).toEqual([])
    expect(await redis.llen(`${ns}:failed`)).toBe(account.failed.size)
    expect(senders.flatMap(({ acknowledged }) => acknowledged).length).toBeGreaterThan(1500)
    expect(fencings(launched)).toBe(0)
  })

  test('each job is performed once, whichever of its calls meets which fault', async ({ redis, redisUrl, ns }) => {
    const ledger = startLedger()
    const sender = startSender(redisUrl, ns)
    const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
    const worker = await startWorkerProcess({ redis: proxy.url, ns, ledger })
    const faults: (() => Fault)[] = [
      () => ({ kind: 'cut-before' }),
      () => ({ kind: 'cut-after' }),
      () => ({ kind: 'drop-reply' }),
      () => ({ kind: 'twice' }),
      () => ({ kind: 'late', until: delay(150) }),
      () => ({ kind: 'hold-request', until: delay(150) }),
    ]
    for (const fault of faults) {
      // A slot reserves from idle, ends that job and reserves the next, and ends that one.
      for (const call of [1, 2, 3]) {
        let turns = 0
        const armed = proxy.on((request) => isTurn(request) && ++turns === call, fault())
        const two = [job('q', 'Note', [0]), job('q', 'Fail', [0])]
        await sender.send(...two)
        for (const { id } of two) await ledger.sees('end', id)
        await waitFor(async () => Number(await redis.get(`${ns}:stat:processed`)) === sender.acknowledged.length)
        await armed.hit
      }
    }
    const account = await accountAtRest(redis, ns, ledger)
    expectKept(sender.acknowledged, account, ledger)
    expect([...account.performed.values()].filter((times) => times > 1)).toEqual([])
    expect(await redis.llen(`${ns}:failed`)).toBe(sender.acknowledged.length / 2)
    expect(fencings([worker])).toBe(0)
    await worker.stop()
  })

  test('nothing is lost while workers, zygotes and jobs are killed at random', async ({ redis, redisUrl, ns }) => {
    const random = chanceOfTest()
    const ledger = startLedger()
    const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
    const args = ['--max-recoveries', '1000']
    const setup: WorkerSetup = {
      redis: proxy.url,
      ns,
      ledger,
      queues: QUEUES.join(','),
      isolation: 'fork',
      concurrency: 3,
      args,
    }
    let workers: readonly Worker[] = await Promise.all([startWorkerProcess(setup), startWorkerProcess(setup)])
    proxy.decide = weather(random, 0.02)
    const senders = [startSender(redisUrl, ns), startSender(proxy.url, ns)]
    let killing = true
    const sent = sendWhile(() => killing, senders, random)
    const deck = ['worker', 'worker', 'zygote', 'zygote', 'job', 'job', 'job', 'job', 'job', 'job'] as const
    for (const what of shuffled(random, deck)) {
      await delay(random.between(50, 400))
      const victim = random.pick(workers)
      const pid =
        what === 'worker'
          ? victim.pid
          : await waitFor(() => relative(victim, what, random), {
              describe: () =>
                `a ${what} of ${victim.pid}: ${JSON.stringify(victim.family())} ${victim.process.stdout.slice(-2000)}${victim.process.stderr}`,
            })
      kill(pid)
      if (what !== 'worker') continue
      await victim.process.exit
      workers = [...workers.filter((worker) => worker !== victim), await startWorkerProcess(setup)]
    }
    killing = false
    await sent
    proxy.decide = undefined
    const account = await accountAtRest(redis, ns, ledger)
    await expectSound(redis, ns, account, ledger, senders)
    expect(senders.flatMap(({ acknowledged }) => acknowledged).length).toBeGreaterThan(50)
  })

  test('nothing that was acknowledged is lost when Redis is killed and started again under load', async () => {
    const random = chanceOfTest()
    const ledger = startLedger()
    const server = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    const setup: WorkerSetup = { redis: server.url, ns: 'resque', ledger, queues: QUEUES.join(','), concurrency: 5 }
    const workers = await Promise.all([startWorkerProcess(setup), startWorkerProcess(setup)])
    const senders = [startSender(server.url, 'resque'), startSender(server.url, 'resque')]
    let sending = true
    const sent = sendMany(senders, random, 1500, 20, 80).finally(() => (sending = false))
    let restarts = 0
    while (sending) {
      await delay(random.between(300, 1200))
      await server.kill()
      await server.restart()
      restarts++
    }
    await sent
    const redis = server.client()
    const account = await accountAtRest(redis, 'resque', ledger)
    await expectSound(redis, 'resque', account, ledger, senders)
    expect(restarts).toBeGreaterThan(2)
    expect(fencings(workers)).toBe(0)
  })
})

/**
 * The zygote, or one of the jobs' processes below it; without a zygote, processes of jobs stand directly below the
 * worker.
 */
function relative(worker: Worker, what: 'zygote' | 'job', random: Chance): number | undefined {
  const family = worker.family().filter(({ state }) => state !== 'Z')
  const children = family.filter(({ ppid }) => ppid === worker.pid)
  const below = family.filter((one) => !children.includes(one))
  const found = what === 'zygote' || below.length === 0 ? children : below
  return found.length === 0 ? undefined : random.pick(found).pid
}

/** SIGKILL, for a process that may have ended by itself meanwhile. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function shuffled<T>(random: Chance, things: readonly T[]): T[] {
  return things
    .map((thing) => [random.next(), thing] as const)
    .sort(([a], [b]) => a - b)
    .map(([, thing]) => thing)
}
