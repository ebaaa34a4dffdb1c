import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Redis } from 'ioredis'
import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import {
  expectKept,
  idOf,
  job,
  startLedger,
  takeAccount,
  LEDGER_JOBS,
  type Ledger,
  type Sent,
} from '../support/ledger.ts'
import { isAlive, waitForDeath } from '../support/proc.ts'
import { ROOT, spawnCommand } from '../support/process.ts'
import { startSender } from '../support/sender.ts'
import { own } from '../support/scope.ts'
import { never, waitFor } from '../support/wait.ts'
import { launchWorker, startWorkerProcess, type Worker, type WorkerSetup } from '../support/workers.ts'

interface Busy {
  readonly worker: Worker
  readonly ledger: Ledger
  readonly running: readonly Sent[]
  readonly behind: Sent
  /** Processes of the running jobs. */
  readonly pids: readonly number[]
  queued(): Promise<string[]>
}

/** A worker whose two slots are busy, with a third job behind them. */
async function busyWorker(
  { redis, redisUrl, ns }: { redis: Redis; redisUrl: string; ns: string },
  { className = 'Gate', ...more }: Partial<WorkerSetup> & { className?: string } = {},
): Promise<Busy> {
  const ledger = startLedger()
  const sender = startSender(redisUrl, ns)
  const worker = await startWorkerProcess({ redis: redisUrl, ns, ledger, isolation: 'fork', concurrency: 2, ...more })
  const running = [job('q', className, [ledger.gate]), job('q', className, [ledger.gate])]
  const behind = job('q', 'Note', [0])
  await sender.send(...running, behind)
  const starts = await Promise.all(running.map(({ id }) => ledger.sees('start', id)))
  const queued = async (): Promise<string[]> => (await redis.lrange(`${ns}:queue:q`, 0, -1)).map(idOf)
  return { worker, ledger, running, behind, pids: starts.map(({ pid }) => pid), queued }
}

const ids = (...jobs: readonly Sent[]): string[] => jobs.map(({ id }) => id)

describe('TERM', () => {
  test('lets running jobs end, takes no new ones, makes the worker not ready, and exits with 0', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const { worker, ledger, running, behind, queued } = await busyWorker({ redis, redisUrl, ns })
    expect((await worker.get('/readyz')).status).toBe(200)
    worker.process.signal('SIGTERM')
    await worker.says('no new ones are taken')
    expect((await worker.get('/readyz?verbose')).status).toBe(503)
    expect((await worker.get('/livez')).status).toBe(200)
    ledger.open()
    expect(await worker.process.waitForExit()).toEqual({ code: 0, signal: null })
    expect(
      ledger
        .of('end')
        .map(({ id }) => id)
        .sort(),
    ).toEqual(ids(...running).sort())
    expect(await queued()).toEqual(ids(behind))
    expect(await redis.get(`${ns}:stat:processed`)).toBe('2')
    expect(await redis.smembers(`${ns}:workers`)).toEqual([])
    expect(await redis.hlen(`${ns}:ext:processes`)).toBe(0)
  })

  test('puts back in front what still runs at the deadline, kills what hears nothing, and exits with 0', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const args = ['--shutdown-timeout', '0.3', '--kill-delay', '0.3']
    const { worker, ledger, running, behind, pids, queued } = await busyWorker(
      { redis, redisUrl, ns },
      { className: 'Deaf', args },
    )
    worker.process.signal('SIGTERM')
    expect(await worker.process.waitForExit()).toEqual({ code: 0, signal: null })
    for (const pid of pids) expect(isAlive(pid)).toBe(false)
    expect(await queued()).toEqual(ids(...running, behind))
    expectKept([...running, behind], await takeAccount(redis, ns, ledger), ledger)
    expect(await redis.exists(`${ns}:failed`, `${ns}:stat:processed`, `${ns}:stat:failed`)).toBe(0)
    expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
  })

  test('a second time kills the jobs at once, puts them back and exits with 143', async ({ redis, redisUrl, ns }) => {
    const { worker, running, behind, pids, queued } = await busyWorker({ redis, redisUrl, ns }, { className: 'Deaf' })
    worker.process.signal('SIGTERM')
    await worker.says('no new ones are taken')
    worker.process.signal('SIGTERM')
    expect(await worker.process.waitForExit()).toEqual({ code: 143, signal: null })
    for (const pid of pids) expect(isAlive(pid)).toBe(false)
    expect(await queued()).toEqual(ids(...running, behind))
    expect(await redis.exists(`${ns}:failed`)).toBe(0)
  })

  test('ends an idle worker at once', async ({ redisUrl, ns }) => {
    const worker = await startWorkerProcess({ redis: redisUrl, ns, ledger: startLedger() })
    expect(await worker.stop(10_000)).toEqual({ code: 0, signal: null })
  })
})

describe.each(['fork', 'spawn'] as const)('a signal to all processes of a worker with %s', (isolation) => {
  test('puts the jobs back whose processes it ends, uncounted, in whatever order it reaches them', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const ledger = startLedger()
    const sender = startSender(redisUrl, ns)
    const worker = await startWorkerProcess({ redis: redisUrl, ns, ledger, isolation, concurrency: 3 })
    const [lost, ...jobs] = [
      job('q', 'Note', [60_000]),
      job('q', 'Note', [60_000]),
      job('q', 'Burn', [ledger.gate]),
      job('q', 'Gate', [ledger.gate]), // looks at its AbortSignal
    ] as const
    await sender.send(lost)
    // To a job alone it is the job's failure.
    process.kill((await ledger.sees('start', lost.id)).pid, 'SIGTERM')
    await waitFor(async () => (await redis.llen(`${ns}:failed`)) === 1)
    await sender.send(...jobs)
    for (const { id } of jobs) await ledger.sees('start', id)
    const family = worker.family()
    for (const { pid } of family) if (isAlive(pid)) process.kill(pid, 'SIGTERM')
    for (const { id } of jobs) await waitForDeath(ledger.of('start', id)[0]?.pid ?? 0)
    worker.process.signal('SIGTERM')
    expect(await worker.process.waitForExit()).toEqual({ code: 0, signal: null })
    const queued = (await redis.lrange(`${ns}:queue:q`, 0, -1)).map(idOf)
    expect(queued.sort()).toEqual(ids(...jobs).sort())
    expect(await redis.llen(`${ns}:failed`)).toBe(1)
    expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
    expectKept([lost, ...jobs], await takeAccount(redis, ns, ledger), ledger)
  })

  test('ends it with 0 while job code loads, also where the process that loads is reached first', async ({
    redisUrl,
    ns,
  }) => {
    const file = join(mkdtempSync(join(tmpdir(), 'resqueue-jobs-')), 'never.mjs')
    own('job module', () => rmSync(dirname(file), { recursive: true }))
    writeFileSync(file, "console.log('the module loads')\nawait new Promise((loaded) => setTimeout(loaded, 600_000))")
    const setup = { redis: redisUrl, ns, ledger: startLedger(), isolation, args: ['--jobs', file] }
    const [both, loader] = [launchWorker(setup), launchWorker(setup)]
    for (const worker of [both, loader]) {
      await worker.says('the module loads')
      const { pid } = await waitFor(() => worker.family()[0])
      process.kill(pid, 'SIGTERM')
      await waitForDeath(pid)
      if (worker === both) worker.process.signal('SIGTERM')
    }
    expect(await both.process.waitForExit()).toEqual({ code: 0, signal: null })
    expect(await loader.process.waitForExit()).toEqual({ code: 78, signal: null })
    expect(loader.process.stderr).toContain('ended with SIGTERM')
  })
})

test('QUIT lets running jobs end, however long they take', async ({ redis, redisUrl, ns }) => {
  const { worker, ledger, running, behind, queued } = await busyWorker(
    { redis, redisUrl, ns },
    { args: ['--shutdown-timeout', '0'] },
  )
  worker.process.signal('SIGQUIT')
  await worker.says('no new ones are taken')
  await never(400, () => !worker.process.running, 'an end before the jobs have ended')
  ledger.open()
  expect(await worker.process.waitForExit()).toEqual({ code: 0, signal: null })
  expect(ledger.of('end').length).toBe(running.length)
  expect(await queued()).toEqual(ids(behind))
})

test('the first TERM or INT after QUIT gives running jobs the shutdown timeout, the next one none', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const patient = await busyWorker({ redis, redisUrl, ns: `${ns}:patient` })
  const brief = await busyWorker(
    { redis, redisUrl, ns: `${ns}:brief` },
    { className: 'Deaf', args: ['--shutdown-timeout', '0.3', '--kill-delay', '0.3'] },
  )
  const halted = await busyWorker({ redis, redisUrl, ns: `${ns}:halted` }, { className: 'Deaf' })
  for (const { worker } of [patient, brief, halted]) {
    worker.process.signal('SIGQUIT')
    await worker.says('no new ones are taken')
    worker.process.signal(worker === brief.worker ? 'SIGINT' : 'SIGTERM')
    await worker.says('no new ones are taken', { count: 2 })
  }
  patient.ledger.open()
  expect(await patient.worker.process.waitForExit()).toEqual({ code: 0, signal: null })
  expect(patient.ledger.of('end').length).toBe(2)
  expect(await patient.queued()).toEqual(ids(patient.behind))
  expect(await brief.worker.process.waitForExit()).toEqual({ code: 0, signal: null })
  expect(await brief.queued()).toEqual(ids(...brief.running, brief.behind))
  expect(halted.worker.process.running).toBe(true)
  halted.worker.process.signal('SIGTERM')
  expect(await halted.worker.process.waitForExit()).toEqual({ code: 143, signal: null })
  expect(await halted.queued()).toEqual(ids(...halted.running, halted.behind))
})

test('INT is graceful once and kills at once the second time, with 130', async ({ redis, redisUrl, ns }) => {
  const { worker, running, behind, queued } = await busyWorker({ redis, redisUrl, ns }, { className: 'Deaf' })
  worker.process.signal('SIGINT')
  await worker.says('no new ones are taken')
  worker.process.signal('SIGINT')
  expect(await worker.process.waitForExit()).toEqual({ code: 130, signal: null })
  expect(await queued()).toEqual(ids(...running, behind))
  expect(await redis.exists(`${ns}:failed`)).toBe(0)
})

test('USR1 ends the processes of running jobs, which are failed ones then, and the worker goes on', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const args = ['--kill-delay', '0.3']
  const { worker, ledger, behind, pids } = await busyWorker({ redis, redisUrl, ns }, { className: 'Deaf', args })
  worker.process.signal('SIGUSR1')
  for (const pid of pids) await waitForDeath(pid)
  await ledger.sees('end', behind.id)
  await waitFor(async () => (await redis.get(`${ns}:stat:processed`)) === '3')
  const failed = (await redis.lrange(`${ns}:failed`, 0, -1)).map(
    (entry) => JSON.parse(entry) as Record<string, unknown>,
  )
  expect(failed.map(({ exception }) => exception)).toEqual(['DirtyExit', 'DirtyExit'])
  expect(failed[0]?.['error']).toContain('cancelled')
  expect(await worker.stop()).toEqual({ code: 0, signal: null })
})

test('USR2 pauses and CONT resumes, while running jobs go on', async ({ redis, redisUrl, ns }) => {
  const { worker, ledger, running, behind, queued } = await busyWorker({ redis, redisUrl, ns })
  worker.process.signal('SIGUSR2')
  await worker.says('paused')
  ledger.open()
  for (const { id } of running) await ledger.sees('end', id)
  await waitFor(async () => (await redis.get(`${ns}:stat:processed`)) === '2')
  await never(1500, () => ledger.of('start', behind.id).length > 0, 'a job taken by a paused worker')
  expect(await queued()).toEqual(ids(behind))
  expect((await worker.get('/readyz')).status).toBe(200)
  expect((await worker.get('/metrics')).body).toMatch(/^resqueue_worker_paused 1$/m)
  worker.process.signal('SIGCONT')
  await ledger.sees('end', behind.id)
  expect((await worker.get('/metrics')).body).toMatch(/^resqueue_worker_paused 0$/m)
  // Paused again, it still leaves when it is told to.
  worker.process.signal('SIGUSR2')
  await worker.stop()
})

test('HUP loads job code anew for the jobs that follow, and keeps the old code where the new does not load', async ({
  redisUrl,
  ns,
}) => {
  const ledger = startLedger()
  const sender = startSender(redisUrl, ns)
  // Beside the original, for what it imports.
  const file = join(ROOT, 'test/fixtures/ledger', `.version-${process.pid}.ts`)
  own('job module', () => rmSync(file, { force: true }))
  copyFileSync(LEDGER_JOBS, file)
  const source = readFileSync(LEDGER_JOBS, 'utf8')
  const version = async (): Promise<string | undefined> => {
    const one = job('q', 'Version')
    await sender.send(one)
    return (await ledger.sees('version', one.id)).more[0]
  }
  const worker = await startWorkerProcess({ redis: redisUrl, ns, ledger, isolation: 'fork', args: ['--jobs', file] })
  expect(await version()).toBe('1')
  writeFileSync(file, source.replace("note('version', job, 1)", "note('version', job, 2)"))
  worker.process.signal('SIGHUP')
  await worker.says('job code reloaded')
  expect(await version()).toBe('2')
  writeFileSync(file, `throw new Error('not today')\n${source}`)
  worker.process.signal('SIGHUP')
  const entry = await worker.says('the old code stays')
  expect(entry['error.message']).toContain('not today')
  expect(await version()).toBe('2')
  await worker.stop()
})

test('PIPE does not end the worker, nor does a reader of its log that goes away', async ({ redis, redisUrl, ns }) => {
  const ledger = startLedger()
  const sender = startSender(redisUrl, ns)
  const flags = ['--redis', redisUrl, '--namespace', ns, '--queues', 'q', '--jobs', LEDGER_JOBS, '--port', '0']
  const command = [process.execPath, `${ROOT}src/bin.ts`, 'work', ...flags, '--isolation', 'fork']
  const shell = spawnCommand('sh', ['-c', '"$@" | head -n 1', 'sh', ...command], { env: { ...ledger.env } })
  const [registration = '{}'] = await waitFor(async () => {
    const all = await redis.hvals(`${ns}:ext:processes`)
    return all.length === 1 && all
  })
  const { pid } = JSON.parse(registration) as { pid: number }
  process.kill(pid, 'SIGPIPE')
  for (const one of [job('q', 'Note', [0]), job('q', 'Note', [0])]) {
    await sender.send(one)
    await ledger.sees('end', one.id)
  }
  process.kill(pid, 'SIGTERM')
  await shell.waitForExit()
  expect(await redis.hlen(`${ns}:ext:processes`)).toBe(0)
})

test('a worker that is told to stop while it starts leaves nothing behind', async ({ redis, redisUrl, ns }) => {
  const ledger = startLedger()
  const setup: WorkerSetup = { redis: redisUrl, ns, ledger, isolation: 'fork' }
  for (const sign of ['"health and metrics', 'ext:processes', '"worker started"']) {
    const early = launchWorker(setup)
    if (sign === 'ext:processes')
      await waitFor(async () => (await redis.hlen(`${ns}:ext:processes`)) === 1, { everyMs: 1 })
    else await early.process.waitForLine(sign)
    early.process.signal('SIGTERM')
    const { code, signal } = await early.process.waitForExit()
    // Before it listens for signals it is ended by the kernel, and has not registered yet.
    expect(code === 0 || signal === 'SIGTERM').toBe(true)
    expect(await redis.hlen(`${ns}:ext:processes`)).toBe(0)
    expect(await redis.smembers(`${ns}:workers`)).toEqual([])
  }
})

test('a worker that is killed while it starts leaves no process behind', async ({ redisUrl, ns }) => {
  for (const isolation of ['fork', 'spawn'] as const) {
    const worker = launchWorker({ redis: redisUrl, ns, ledger: startLedger(), isolation })
    // The youngest age at which an orphan could be overlooked: it has not yet asked who its parent is.
    const child = await waitFor(() => worker.family().find(({ ppid }) => ppid === worker.pid), { everyMs: 1 })
    await worker.process.kill()
    await waitForDeath(child.pid, { timeoutMs: 15_000 })
  }
})
