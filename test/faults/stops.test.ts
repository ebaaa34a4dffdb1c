import { rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { sideBySide } from '../support/aside.ts'
import { expectKept, job, startLedger, type Account, type Ledger, type Sent } from '../support/ledger.ts'
import { startProxy, type Proxy } from '../support/proxy.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'
import { accountAtRest, fencings, recordsOf, releases } from '../support/rest.ts'
import { startSender, type Sender } from '../support/sender.ts'
import { waitFor } from '../support/wait.ts'
import { startWorkerProcess, type Worker, type WorkerSetup } from '../support/workers.ts'

const NS = 'resque'

interface Place {
  readonly server: RedisServer
  readonly redis: Redis
  readonly ledger: Ledger
  readonly sender: Sender
  start(more?: Partial<WorkerSetup>): Promise<Worker>
}

async function place(): Promise<Place> {
  const server = await startRedis()
  const ledger = startLedger()
  const start = (more: Partial<WorkerSetup> = {}): Promise<Worker> =>
    startWorkerProcess({ redis: server.url, ns: NS, ledger, isolation: 'fork', concurrency: 2, ...more })
  return { server, redis: server.client(), ledger, sender: startSender(server.url, NS), start }
}

/** What a scenario brought. */
interface Outcome {
  readonly sent: readonly Sent[]
  readonly account: Account
  readonly ledger: Ledger
  readonly processed: number
  readonly fencings: number
  readonly releases: number
  readonly nonces: readonly [before: readonly string[], after: readonly string[]]
}

/** Two workers with running jobs and waiting ones, while `spoil` does something to Redis. */
async function spoiled(
  spoil: (place: Place, workers: readonly Worker[]) => Promise<void>,
  secondary: (server: RedisServer) => Promise<Partial<WorkerSetup>> = () => Promise.resolve({}),
): Promise<Outcome> {
  const here = await place()
  const { redis, ledger, sender } = here
  const workers = await Promise.all([here.start(), here.start(await secondary(here.server))])
  const before = workers.map(({ nonce }) => nonce)
  const gates = [job('q', 'Gate', [ledger.gate]), job('q', 'Gate', [ledger.gate])]
  await sender.send(...gates)
  for (const { id } of gates) await ledger.sees('start', id)
  await sender.send(...Array.from({ length: 20 }, () => job('q', 'Note', [5])))
  await spoil(here, workers)
  ledger.open()
  await sender.send(...Array.from({ length: 20 }, () => job('q', 'Note', [5])))
  const account = await accountAtRest(redis, NS, ledger)
  const outcome = {
    sent: sender.acknowledged,
    account,
    ledger,
    processed: Number(await redis.get(`${NS}:stat:processed`)),
    fencings: fencings(workers),
    releases: releases(workers),
    nonces: [before, (await redis.hkeys(`${NS}:ext:processes`)).sort()] as const,
  }
  for (const worker of workers) await worker.stop()
  return outcome
}

/** What came of it, in a form whose good case is `UNHARMED`. */
function harm({ sent, account, ledger, processed, ...rest }: Outcome): unknown {
  expectKept(sent, account, ledger)
  return {
    fencings: rest.fencings,
    releases: rest.releases,
    sameNames: String(rest.nonces[1]) === String(rest.nonces[0].toSorted()),
    repeated: [...account.performed.values()].filter((times) => times > 1).length,
    failed: account.failed.size,
    uncounted: account.performed.size - processed,
  }
}

const UNHARMED = { fencings: 0, releases: 0, sameNames: true, repeated: 0, failed: 0, uncounted: 0 }

/** Waits until both workers have renewed their leases after a time without Redis. */
async function renewed(redis: Redis, workers: readonly Worker[]): Promise<void> {
  for (const { nonce } of workers) {
    await waitFor(async () => (await redis.pttl(`${NS}:ext:lease:${nonce}`)) > 6500, {
      describe: `${nonce} to renew its lease`,
    })
  }
}

const scenarios = sideBySide({
  /** A stopped worker is reaped while its job goes on; then it wakes up. */
  stoppedWorker: async () => {
    const { redis, ledger, sender, start } = await place()
    const [stopped, other] = [await start({ concurrency: 1 }), await start({ concurrency: 1, queues: 'idle' })]
    const nonce = stopped.nonce
    const slow = job('q', 'Gate', [ledger.gate])
    await sender.send(slow)
    const first = await ledger.sees('start', slow.id)
    const before = performance.now()
    stopped.process.pause()
    const heir = await start({ concurrency: 1 })
    await ledger.sees('start', slow.id, 2)
    const seconds = (performance.now() - before) / 1000
    ledger.open()
    await waitFor(() => ledger.of('end', slow.id).length === 2)
    await waitFor(async () => (await redis.get(`${NS}:stat:processed`)) === '1')
    await heir.stop()
    // There is work when it wakes up: under its old name it must not take any.
    const next = job('q', 'Note', [0])
    await sender.send(next, job('q', 'Note', [300]), job('q', 'Note', [0]))
    stopped.process.resume()
    await stopped.says('taken for dead')
    await stopped.says('registered again')
    const again = await ledger.sees('end', next.id)
    const account = await accountAtRest(redis, NS, ledger)
    const processed = Number(await redis.get(`${NS}:stat:processed`))
    const outcome = {
      seconds,
      processed,
      first,
      again,
      account,
      ledger,
      sent: sender.acknowledged,
      nonces: [nonce, stopped.nonce] as const,
      isolation: stopped.log.find(({ msg }) => msg === 'worker started')?.['isolation'],
    }
    await stopped.stop()
    await other.stop()
    return { ...outcome, left: await redis.hlen(`${NS}:ext:processes`) }
  },

  /**
   * As above, but the job still runs when its worker wakes up: its process must not go on beside the one that runs the
   * job now.
   */
  stoppedWithRunningJob: async () => {
    const { redis, ledger, sender, start } = await place()
    const stopped = await start({ concurrency: 1 })
    const slow = job('q', 'Deaf', [ledger.gate])
    await sender.send(slow)
    const first = await ledger.sees('start', slow.id)
    stopped.process.pause()
    const heir = await start({ concurrency: 1 })
    await ledger.sees('start', slow.id, 2)
    stopped.process.resume()
    await stopped.says('registered again')
    await waitFor(() => !stopped.family().some(({ pid }) => pid === first.pid), {
      describe: 'the end of the first run',
    })
    ledger.open()
    await ledger.sees('end', slow.id)
    const account = await accountAtRest(redis, NS, ledger)
    await waitFor(async () => (await redis.get(`${NS}:stat:processed`)) === '1')
    await Promise.all([stopped.stop(), heir.stop()])
    return { runs: account.performed.get(slow.id), failed: await redis.llen(`${NS}:failed`) }
  },

  /** kill -9 beside a worker that runs already: only the lease tells. */
  killedWorker: async () => {
    const { redis, ledger, sender, start } = await place()
    const victim = await start()
    const running = [job('q', 'Gate', [ledger.gate]), job('q', 'Gate', [ledger.gate])]
    await sender.send(...running)
    for (const { id } of running) await ledger.sees('start', id)
    const heir = await start()
    await victim.process.kill()
    const before = performance.now()
    const back = running.map(({ id }) => ledger.sees('start', id, 2))
    await Promise.all(back)
    const seconds = (performance.now() - before) / 1000
    ledger.open()
    const account = await accountAtRest(redis, NS, ledger)
    await heir.stop()
    return { seconds, account, ledger, sent: sender.acknowledged, left: await redis.hlen(`${NS}:ext:processes`) }
  },

  pausedClients: () =>
    spoiled(async ({ redis, sender }, workers) => {
      await redis.call('client', 'pause', '13000', 'all')
      const asked = performance.now()
      await sender.send(job('q', 'Note', [0]))
      expect(sender.uncertain.length, `after ${performance.now() - asked} ms`).toBe(1)
      await waitFor(() => redis.ping())
      await renewed(redis, workers)
    }),

  stoppedTwice: () =>
    spoiled(async ({ server, redis }, workers) => {
      for (const ms of [12_500, 12_500]) {
        server.pause()
        await delay(ms)
        server.resume()
        await renewed(redis, workers)
      }
    }),

  /** The second stop comes before anybody had the time to renew. */
  stoppedTwiceAtOnce: () =>
    spoiled(async ({ server, redis }, workers) => {
      for (const ms of [12_500, 12_500]) {
        server.pause()
        await delay(ms)
        server.resume()
        await redis.ping()
      }
      await renewed(redis, workers)
    }),

  /** One worker finds its way back when the other has long been looking for leases. */
  slowReturn: async () => {
    let proxy: Proxy | undefined
    return spoiled(
      async ({ server, redis }, workers) => {
        // Before the stop: what a worker sent into it would renew its lease at the end.
        if (proxy) proxy.refusing = true
        proxy?.cut()
        server.pause()
        await delay(9000)
        server.resume()
        await delay(4000)
        if (proxy) proxy.refusing = false
        await renewed(redis, workers)
      },
      async (server) => {
        proxy = await startProxy(server)
        return { redis: proxy.url }
      },
    )
  },

  full: () =>
    spoiled(async ({ redis, ledger, sender, server }, workers) => {
      await redis.config('SET', 'maxmemory-policy', 'noeviction')
      await redis.config('SET', 'maxmemory', '1')
      const refused = job('q', 'Note', [0])
      await sender.send(refused)
      expect(sender.refused).toEqual([{ ...refused, code: 'REDIS_FULL' }])
      // What waits is taken, runs and ends although Redis is full, and leases live on.
      await waitFor(() => ledger.of('end').length === 20)
      for (const { nonce } of workers)
        await waitFor(async () => Object.keys(await recordsOf(redis, NS, nonce)).length <= 2)
      const until = performance.now() + 12_000
      while (performance.now() < until) {
        for (const { nonce } of workers) expect(await redis.exists(`${NS}:ext:lease:${nonce}`)).toBe(1)
        await delay(500)
      }
      await redis.config('SET', 'maxmemory', '0')
      expect(server.running).toBe(true)
    }),

  cannotSave: () =>
    spoiled(async ({ server, redis, sender }, workers) => {
      await rm(server.dir, { recursive: true, force: true })
      await redis.config('SET', 'save', '3600 1')
      await redis.call('bgsave')
      await waitFor(async () => (await redis.info('persistence')).includes('rdb_last_bgsave_status:err'))
      await sender.send(job('q', 'Note', [0]))
      expect(sender.uncertain.length + sender.refused.length).toBe(1)
      await waitFor(
        async () =>
          (await Promise.all(workers.map(({ nonce }) => redis.exists(`${NS}:ext:lease:${nonce}`)))).every(
            (n) => n === 0,
          ),
        {
          describe: 'the leases to lapse',
        },
      )
      await redis.config('SET', 'stop-writes-on-bgsave-error', 'no')
      await renewed(redis, workers)
    }),
})

describe('a worker that stood still', () => {
  test('records nothing of what others have done meanwhile, and goes on under a new name', () => {
    const { sent, account, ledger, ...seen } = scenarios.stoppedWorker()
    expectKept(sent, account, ledger)
    expect(seen.isolation).toBe('fork')
    expect(seen.processed).toBe(4)
    expect(account.performed.size).toBe(4)
    expect(seen.nonces[1]).not.toBe(seen.nonces[0])
    expect(seen.again.pid).not.toBe(seen.first.pid)
    expect(seen.left).toBe(0)
  })

  test('is noticed within 15 seconds', () => {
    expect(scenarios.stoppedWorker().seconds).toBeLessThan(15)
  })

  test('ends what it still runs when it wakes up', () => {
    expect(scenarios.stoppedWithRunningJob()).toEqual({ runs: 1, failed: 0 })
  })
})

describe('a worker that was killed', () => {
  test('has its jobs back in other hands within 15 seconds', () => {
    const { seconds, sent, account, ledger, left } = scenarios.killedWorker()
    expectKept(sent, account, ledger)
    expect([...account.performed.values()]).toEqual([1, 1])
    expect(left).toBe(0)
    expect(seconds).toBeLessThan(15)
  })
})

describe('nobody is taken for dead', () => {
  test('when Redis serves no client for 13 seconds', () => {
    expect(harm(scenarios.pausedClients())).toEqual(UNHARMED)
  })

  test('when Redis stands still for 12.5 seconds, twice', () => {
    expect(harm(scenarios.stoppedTwice())).toEqual(UNHARMED)
  })

  test('when Redis stands still again as soon as it is back', () => {
    expect(harm(scenarios.stoppedTwiceAtOnce())).toEqual(UNHARMED)
  })

  test('when one worker takes four seconds longer than the others to find its way back', () => {
    expect(harm(scenarios.slowReturn())).toEqual(UNHARMED)
  })

  test('when Redis is full, and running jobs end and waiting ones are taken', () => {
    expect(harm(scenarios.full())).toEqual(UNHARMED)
  })

  test('when Redis cannot save and refuses all writes for longer than a lease', () => {
    expect(harm(scenarios.cannotSave())).toEqual(UNHARMED)
  })
})
