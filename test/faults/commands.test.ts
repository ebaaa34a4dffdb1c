import type { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { sideBySide } from '../support/aside.ts'
import { expectKept, job, startLedger, takeAccount, type Ledger, type Sent } from '../support/ledger.ts'
import { startProxy, type Armed, type Fault, type Proxy } from '../support/proxy.ts'
import { snapshot, startRedis } from '../support/redis.ts'
import { flowOf } from '../support/rest.ts'
import { startSender, type Sender } from '../support/sender.ts'
import { latch } from '../support/wait.ts'
import { launchWorker, type WorkerSetup } from '../support/workers.ts'

const NS = 'resque'
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
  expect(await worker.process.waitForExit()).toEqual({ code: 0, signal: null })
}

const someJobs = (): Sent[] => [job('q', 'Note', [0]), job('q', 'Fail', [0]), job('q', 'Note', [5])]

interface Place {
  readonly redis: Redis
  readonly ledger: Ledger
  readonly sender: Sender
  readonly proxy: Proxy
  readonly setup: WorkerSetup
}

async function place(): Promise<Place> {
  const server = await startRedis()
  const ledger = startLedger()
  const setup: WorkerSetup = { redis: server.url, ns: NS, ledger, concurrency: SLOTS }
  return { redis: server.client(), ledger, sender: startSender(server.url, NS), proxy: await startProxy(server), setup }
}

/**
 * A chain of workers: the first dies at its first call, the next at its second and so on, until one outlives its calls.
 */
async function dieAtEachCall(fault: Fault): Promise<unknown> {
  const { redis, ledger, sender, proxy, setup } = await place()
  let deaths = 0
  for (let n = 1, died = true; died && n < LAST; n++) {
    await sender.send(...someJobs())
    died = (await killAtCall(setup, proxy, n, fault)) !== undefined
    if (died) deaths++
    expectKept(sender.acknowledged, await takeAccount(redis, NS, ledger), ledger)
  }
  await finishOff(setup)
  const account = await takeAccount(redis, NS, ledger)
  expectKept(sender.acknowledged, account, ledger)
  const { started, ended, returned } = await flowOf(redis, NS, 'q')
  return {
    manyCalls: deaths > 5 && deaths < LAST - 1,
    left: account.waiting.size + account.held.size,
    uncounted: sender.acknowledged.length - Number(await redis.get(`${NS}:stat:processed`)),
    failedTwice: (await redis.llen(`${NS}:failed`)) - account.failed.size,
    flow: started - ended - returned,
    processes: await redis.hlen(`${NS}:ext:processes`),
  }
}

/** What there is, but when somebody last looked for the dead: a late look is one, and says so. */
async function snapshotButLooks(redis: Redis): Promise<object> {
  const { 'ext:look': _, ...rest } = await snapshot(redis, NS)
  return rest
}

/** The last call of each dead worker arrives when its successor has released it. Returns what each changed. */
async function arriveLate(): Promise<unknown> {
  const { redis, ledger, sender, proxy, setup } = await place()
  await finishOff(setup) // Redis knows the scripts from here on: each is one call
  const changes: unknown[] = []
  let deaths = 0
  // The first call registers: who never registered cannot be released, and its late registration ends with its lease.
  for (let n = 2, died = true; died && n < LAST; n++) {
    await sender.send(...someJobs())
    const late = latch()
    const call = await killAtCall(setup, proxy, n, { kind: 'late', until: late.promise })
    died = call !== undefined
    if (died) deaths++
    await finishOff(setup)
    const before = await snapshotButLooks(redis)
    late.open()
    await call?.performed
    const after = await snapshotButLooks(redis)
    if (JSON.stringify(after) !== JSON.stringify(before)) changes.push({ n, before, after })
  }
  expectKept(sender.acknowledged, await takeAccount(redis, NS, ledger), ledger)
  const uncounted = sender.acknowledged.length - Number(await redis.get(`${NS}:stat:processed`))
  return { manyCalls: deaths > 5 && deaths < LAST - 1, changes, uncounted }
}

const scenarios = sideBySide({
  before: () => dieAtEachCall({ kind: 'cut-before' }),
  after: () => dieAtEachCall({ kind: 'drop-reply' }),
  late: arriveLate,
})

describe('a worker that dies at a command', () => {
  const SOUND = { manyCalls: true, left: 0, uncounted: 0, failedTwice: 0, flow: 0, processes: 0 }

  test('loses nothing, whichever command it is, when Redis never gets it', () => {
    expect(scenarios.before()).toEqual(SOUND)
  })

  test('loses nothing, whichever command it is, when Redis has performed it and the reply is lost', () => {
    expect(scenarios.after()).toEqual(SOUND)
  })

  test('changes nothing any more when its bytes reach Redis after it was released', () => {
    expect(scenarios.late()).toEqual({ manyCalls: true, changes: [], uncounted: 0 })
  })
})
