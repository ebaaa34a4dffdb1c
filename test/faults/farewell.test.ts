import { expect, test } from 'vitest'
import { sideBySide } from '../support/aside.ts'
import { expectKept, job, startLedger, type Account, type Ledger, type Sent } from '../support/ledger.ts'
import type { Exit } from '../support/process.ts'
import { startProxy, type Proxy } from '../support/proxy.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'
import { accountAtRest, isTurn, recordsOf } from '../support/rest.ts'
import { startSender } from '../support/sender.ts'
import { waitFor } from '../support/wait.ts'
import { startWorkerProcess, type Worker } from '../support/workers.ts'

const NS = 'resque'

interface Leaving {
  readonly server: RedisServer
  readonly proxy: Proxy
  readonly ledger: Ledger
  readonly worker: Worker
  send(...jobs: readonly Sent[]): Promise<void>
}

/** What a worker left behind that was told to leave while Redis was away, and what another one made of it. */
interface Left {
  readonly exit: Exit
  readonly account: Account
  readonly ledger: Ledger
  readonly sent: readonly Sent[]
  readonly processes: number
}

/**
 * `spoil` takes Redis away from a worker; then it is told to leave and must be gone within the time. At last Redis is
 * back, for another worker.
 */
async function leaving(
  args: readonly string[],
  withinMs: number,
  spoil: (here: Leaving) => Promise<void>,
): Promise<Left> {
  const server = await startRedis()
  const proxy = await startProxy(server)
  const ledger = startLedger()
  const sender = startSender(server.url, NS)
  const setup = { ns: NS, ledger, isolation: 'fork', args } as const
  const worker = await startWorkerProcess({ ...setup, redis: proxy.url })
  await spoil({ server, proxy, ledger, worker, send: (...jobs) => sender.send(...jobs) })
  worker.process.signal('SIGTERM')
  const exit = await worker.process.waitForExit(withinMs)
  server.resume()
  ledger.open()
  const heir = await startWorkerProcess({ ...setup, redis: server.url })
  const account = await accountAtRest(server.client(), NS, ledger)
  await heir.stop()
  const processes = await server.client().hlen(`${NS}:ext:processes`)
  return { exit, account, ledger, sent: sender.acknowledged, processes }
}

/** Longer than a worker insists that is told to leave at once, and shorter than a farewell lasts. Milliseconds. */
const AWAY_MS = 2250

/**
 * A job is taken for an idle worker, whose socket breaks before the answer is there. From then on Redis cannot be
 * reached.
 */
async function takenUnheard(here: Leaving): Promise<void> {
  const redis = here.server.client()
  await here.send(job('q', 'Note', [0]))
  await waitFor(async () => (await redis.get(`${NS}:stat:processed`)) === '1')
  const taken = here.proxy.on(isTurn, () => {
    here.proxy.refusing = true
    return { kind: 'drop-reply' }
  })
  await here.send(job('q', 'Note', [0]))
  await taken.performed
  await sever(here)
  expect(Object.keys(await recordsOf(redis, NS, here.worker.nonce))).toEqual(['0'])
}

/** Redis can no longer be reached. */
async function sever({ proxy, worker }: Leaving): Promise<void> {
  proxy.refusing = true
  proxy.cut()
  await worker.says('Redis is unavailable')
}

const scenarios = sideBySide({
  /** A job was taken for it in Redis, and the answer was lost: the turn is sent again and again. */
  idle: () => leaving(['--no-blocking'], 10_000, takenUnheard),

  /** The same, and Redis answers again before the farewell is over. */
  returning: async () => {
    const server = await startRedis()
    const redis = server.client()
    const proxy = await startProxy(server)
    const ledger = startLedger()
    const sender = startSender(server.url, NS)
    const setup = { ns: NS, ledger, isolation: 'fork', args: ['--no-blocking'] } as const
    const worker = await startWorkerProcess({ ...setup, redis: proxy.url })
    await takenUnheard({ server, proxy, ledger, worker, send: (...jobs) => sender.send(...jobs) })
    // Connections are made, so that the worker tries often, and carry nothing.
    const until = performance.now() + AWAY_MS
    proxy.decide = ({ name }) =>
      name.startsWith('EVAL') && performance.now() < until ? { kind: 'cut-before' } : undefined
    proxy.refusing = false
    worker.process.signal('SIGTERM')
    const exit = await worker.process.waitForExit()
    const waiting = await redis.llen(`${NS}:queue:q`)
    const counted = await redis.keys(`${NS}:ext:job:*`)
    return { exit, waiting, counted, log: worker.log, processes: await redis.hlen(`${NS}:ext:processes`) }
  },

  /** Its job is stopped at the deadline. */
  running: () =>
    leaving(['--shutdown-timeout', '2', '--kill-delay', '1'], 8000, async (here) => {
      const gate = job('q', 'Gate', [here.ledger.gate])
      await here.send(gate)
      await here.ledger.sees('start', gate.id)
      await sever(here)
    }),

  /** Its job has ended, which cannot be recorded: connections stay open, and nothing answers. */
  silent: () =>
    leaving(['--shutdown-timeout', '1', '--kill-delay', '1'], 7000, async ({ server, ledger, worker, send }) => {
      const note = job('q', 'Gate', [ledger.gate])
      await send(note)
      await ledger.sees('start', note.id)
      server.pause()
      ledger.open()
      await worker.says('job ended')
    }),
})

test('without Redis a worker that runs nothing takes no longer than its farewell, and what was taken for it runs elsewhere', () => {
  const { exit, account, ledger, sent, processes } = scenarios.idle()
  expect(exit).toEqual({ code: 0, signal: null })
  expectKept(sent, account, ledger)
  expect([...account.performed.values()]).toEqual([1, 1])
  expect(processes).toBe(0)
})

test('with Redis back before its farewell is over it gives back what was taken for it, uncounted', () => {
  const { exit, waiting, counted, log, processes } = scenarios.returning()
  expect(exit).toEqual({ code: 0, signal: null })
  expect(log.map(({ msg }) => msg)).toContain('unfinished jobs were put back at the front of their queues')
  expect(waiting).toBe(1)
  expect(counted).toEqual([])
  expect(processes).toBe(0)
})

test('without Redis a worker is gone five seconds after its jobs at the latest, and they run elsewhere', () => {
  const { exit, account, ledger, sent, processes } = scenarios.running()
  expect(exit).toEqual({ code: 0, signal: null })
  expectKept(sent, account, ledger)
  expect([...account.performed.values()]).toEqual([1])
  expect(processes).toBe(0)
})

test('so is one whose ended job cannot be recorded, because Redis stands still', () => {
  const { exit, account, ledger, sent, processes } = scenarios.silent()
  expect(exit).toEqual({ code: 0, signal: null })
  expectKept(sent, account, ledger)
  expect(processes).toBe(0)
})
