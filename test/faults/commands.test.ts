import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { expectKept, job, startLedger, takeAccount, type Ledger } from '../support/ledger.ts'
import { startProxy, type Armed, type Fault, type Proxy } from '../support/proxy.ts'
import { snapshot } from '../support/redis.ts'
import { flowOf } from '../support/rest.ts'
import { startSender } from '../support/sender.ts'
import { latch } from '../support/wait.ts'
import { launchWorker, type WorkerSetup } from '../support/workers.ts'

const SLOTS = 2
/** More calls than a worker makes for the few jobs that it gets here. */
const LAST = 40

/** One worker's life until its call number `n` meets a fault and it is killed; undefined when it did not get so far. */
async function killAtCall(setup: WorkerSetup, proxy: Proxy, n: number, fault: Fault): Promise<Armed | undefined> {
  let seen = 0
  const armed = proxy.on(({ name }) => name.startsWith('EVAL') && ++seen === n, fault)
  const worker = launchWorker({ ...setup, redis: proxy.url, args: ['--burst', '--max-recoveries', '1000'] })
  const killed = await Promise.race([armed.hit.then(() => true), worker.process.exit.then(() => false)])
  if (killed) await worker.process.kill()
  else armed.off()
  return killed ? armed : undefined
}

/** Another worker comes and does what is left. */
async function finishOff(setup: WorkerSetup): Promise<void> {
  const worker = launchWorker({ ...setup, args: ['--burst', '--max-recoveries', '1000'] })
  expect(await worker.process.waitForExit(20_000)).toEqual({ code: 0, signal: null })
}

const setupOf = (redis: string, ns: string, ledger: Ledger): WorkerSetup => ({ redis, ns, ledger, concurrency: SLOTS })
const someJobs = () => [job('q', 'Note', [0]), job('q', 'Fail', [0]), job('q', 'Note', [5])]

describe('a worker that dies at a command', () => {
  for (const [when, fault] of [
    ['before Redis has it', { kind: 'cut-before' }],
    ['when Redis has performed it and the reply is lost', { kind: 'drop-reply' }],
  ] as const) {
    test(`loses nothing, whichever command it is, ${when}`, async ({ redis, redisUrl, ns }) => {
      const ledger = startLedger()
      const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
      const sender = startSender(redisUrl, ns)
      const setup = setupOf(redisUrl, ns, ledger)
      let deaths = 0
      for (let n = 1, died = true; died; n++) {
        await sender.send(...someJobs())
        died = (await killAtCall(setup, proxy, n, fault)) !== undefined
        if (died) deaths++
        expect(n).toBeLessThan(LAST)
        expectKept(sender.acknowledged, await takeAccount(redis, ns, ledger), ledger)
      }
      await finishOff(setup)
      const account = await takeAccount(redis, ns, ledger)
      expectKept(sender.acknowledged, account, ledger)
      expect(account.waiting.size + account.held.size).toBe(0)
      expect(Number(await redis.get(`${ns}:stat:processed`))).toBe(sender.acknowledged.length)
      expect(await redis.llen(`${ns}:failed`)).toBe(account.failed.size)
      const { started, ended, returned } = await flowOf(redis, ns, 'q')
      expect(started).toBe(ended + returned)
      expect(await redis.hlen(`${ns}:ext:processes`)).toBe(0)
      expect(deaths).toBeGreaterThan(5)
    })
  }

  test('changes nothing any more when its bytes reach Redis after it was released', async ({ redis, redisUrl, ns }) => {
    const ledger = startLedger()
    const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
    const sender = startSender(redisUrl, ns)
    const setup = setupOf(redisUrl, ns, ledger)
    // The first call registers: who never registered cannot be released, and its late registration ends with its lease.
    for (let n = 2, died = true; died; n++) {
      await sender.send(...someJobs())
      const late = latch()
      const call = await killAtCall(setup, proxy, n, { kind: 'late', until: late.promise })
      died = call !== undefined
      await finishOff(setup)
      const before = await snapshot(redis, ns)
      late.open()
      await call?.performed
      expect(await snapshot(redis, ns)).toEqual(before)
      expect(n).toBeLessThan(LAST)
    }
    expectKept(sender.acknowledged, await takeAccount(redis, ns, ledger), ledger)
    expect(Number(await redis.get(`${ns}:stat:processed`))).toBe(sender.acknowledged.length)
  })
})
