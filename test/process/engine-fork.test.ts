import { spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadAddon, type Addon } from '../../src/worker/addon.ts'
import { startFork } from '../../src/worker/fork.ts'
import { FRAME } from '../../src/worker/frames.ts'
import { createEngine } from '../../src/worker/isolation.ts'
import type { Outcome } from '../../src/worker/outcome.ts'
import { descendants, freeze, isAlive, waitForDeath, zombies, type ProcessInfo } from '../support/proc.ts'
import { spawnNode } from '../support/process.ts'
import { own } from '../support/scope.ts'
import { waitFor, within } from '../support/wait.ts'
import { bench, fixture, folder, fragile, shipped } from './engine.ts'

interface Draw {
  readonly pid: number
  readonly ppid: number
  readonly numbers: readonly unknown[]
}

/** The zygote of the only engine of this test. */
function zygote(): ProcessInfo {
  const found = descendants().filter((p) => p.command.includes('Forking jobs of') && p.ppid === process.pid)
  if (found.length !== 1) throw new Error(`expected one zygote, there are ${found.length}`)
  return found[0] as ProcessInfo
}

const waiting = (): ProcessInfo[] => descendants().filter((p) => p.command.includes(': Waiting') && p.state !== 'Z')

test('children share no random numbers, and know their own process', async () => {
  const { run } = await bench({ isolation: 'fork', concurrency: 2 })
  const seen = new Set<unknown>()
  const pids = new Set<number>()
  let left = 500
  const slot = async (): Promise<void> => {
    while (left-- > 0) {
      const outcome = await run('Draw')
      if (outcome.kind !== 'succeeded') throw new Error(JSON.stringify(outcome))
      const { pid, ppid, numbers } = JSON.parse(outcome.result) as Draw
      expect(pid).toBe(outcome.process?.pid)
      expect(ppid).toBe(zygote().pid)
      pids.add(pid)
      for (const number of numbers) seen.add(number)
    }
  }
  await Promise.all([slot(), slot()])
  expect(pids.size).toBe(500)
  expect(seen.size).toBe(500 * 7)
  await waitFor(() => zombies().length === 0)
})

test('children wait ahead of need in next to no memory of their own', async () => {
  await bench({ isolation: 'fork', concurrency: 3 })
  const children = await waitFor(() => waiting().length === 3 && waiting())
  for (const { pid } of children) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    const kib = Number(/^Private_Dirty: +(\d+) kB/m.exec(rollup)?.[1])
    // The promise is 3 MB. How much a child touches ahead of its job varies around 1 MB; the benchmark says how much.
    expect(kib).toBeLessThan(3 * 1024)
    expect(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim()).toBe('900')
  }
})

test('a killed zygote takes its children along; their jobs go back, counted, and the next one runs', async () => {
  const { engine, begin, run, output, notices } = await bench({ isolation: 'fork' })
  const job = begin('Wait')
  const pid = await job.pid
  await waitFor(() => output.includes('stdout ready'))
  process.kill(zygote().pid, 'SIGKILL')
  expect(await job.outcome).toMatchObject({ kind: 'returned', counted: true, process: { pid } })
  await waitForDeath(pid)
  expect(await run('Later')).toMatchObject({ kind: 'succeeded' })
  expect(engine.isolation).toBe('fork')
  expect(notices).toEqual([
    expect.stringMatching(/^warn .*the zygote ended with SIGKILL/),
    expect.stringMatching(/^info .*replaced/),
  ])
})

test('a stop does not wait for the next try to replace job processes', async () => {
  const { jobs, obstruct } = fragile("throw new Error('no database today')")
  const { engine, notices } = await bench({ isolation: 'fork', jobs })
  obstruct()
  process.kill(zygote().pid, 'SIGKILL')
  const failures = (): string[] => notices.filter((notice) => notice.includes('job processes cannot be replaced'))
  await waitFor(() => failures().length === 5) // the next try is eight seconds off
  await within(6000, engine.stop(), 'the engine to stop')
  expect(engine.trouble).toContain('no database today')
})

test('what a job writes to descriptors of Node reaches neither the zygote nor its other children', async () => {
  const { run, notices } = await bench({ isolation: 'fork', concurrency: 2 })
  const before = zygote().pid
  // Its own loop reads it, and that is the end of its process alone.
  expect(await run('Scribble')).toMatchObject({ kind: 'signalled', signal: 'SIGSEGV' })
  for (let i = 0; i < 5; i += 1) expect(await run('Later')).toMatchObject({ kind: 'succeeded' })
  expect(zygote().pid).toBe(before)
  expect(notices).toEqual([])
})

test('children that do not begin are killed, their jobs go back uncounted, and after three of them processes are spawned', async () => {
  const { engine, begin, run, notices } = await bench({ isolation: 'fork', concurrency: 3 })
  const children = await waitFor(() => waiting().length === 3 && waiting())
  for (const { pid } of children) freeze(pid)
  const jobs = [begin('Later'), begin('Later'), begin('Later')]
  const outcomes = await Promise.all(jobs.map(({ outcome }) => outcome))
  for (const outcome of outcomes) expect(outcome).toMatchObject({ kind: 'returned', counted: false })
  await waitFor(() => engine.isolation === 'spawn')
  expect(await run('Later')).toMatchObject({ kind: 'succeeded' })
  expect(notices[0]).toMatch(/3 forked children did not begin/)
})

test('the zygote hears no signal that is meant for its worker', async () => {
  const { begin, run, output, notices } = await bench({ isolation: 'fork' })
  const { pid } = zygote()
  const job = begin('Wait')
  await waitFor(() => output.includes('stdout ready'))
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const) process.kill(pid, signal)
  expect(await run('Later')).toMatchObject({ kind: 'succeeded' })
  expect(zygote().pid).toBe(pid)
  job.abort('enough')
  // Its children hear them.
  expect(await job.outcome).toMatchObject({ kind: 'cancelled', process: { signal: 'SIGTERM' } })
  expect(notices).toEqual([])
})

describe.each(['fork', 'spawn', 'inline'] as const)('reload with %s', (isolation) => {
  test('gives new code to the next job; bad code is refused and the old stays', async () => {
    const jobs = join(folder(), 'jobs.mjs')
    const write = (text: string): void => {
      writeFileSync(`${jobs}.new`, text)
      renameSync(`${jobs}.new`, jobs)
    }
    const job = (value: string): string => `export class Job { perform() { return ${value} } }`
    write(job('"old"'))
    const { engine, run } = await bench({ isolation, jobs })
    expect(await run('Job')).toMatchObject({ result: '"old"' })
    write(job('"new"'))
    await engine.reload()
    expect(await run('Job')).toMatchObject({ result: '"new"' })
    write('throw new Error("broken")')
    await expect(engine.reload()).rejects.toMatchObject({ code: 'JOBS', message: expect.stringContaining('broken') })
    const kept = await run('Job')
    // A spawned process that was booted before the reload still has the old code; one booted since has none that loads.
    expect(isolation === 'spawn' || (kept.kind === 'succeeded' && kept.result === '"new"')).toBe(true)
    write(job('"newest"'))
    await engine.reload()
    expect(await run('Job')).toMatchObject({ result: '"newest"' })
  })

  test('leaves the newest code, also where older code takes longer to load', async () => {
    const jobs = join(folder(), 'jobs.mjs')
    const job = (value: string): string => `export class Job { perform() { return '${value}' } }`
    const loading = `${jobs}.loading`
    const slow = `import { writeFileSync } from 'node:fs'
      writeFileSync(${JSON.stringify(loading)}, '')
      await new Promise((resolve) => setTimeout(resolve, 2000))`
    writeFileSync(jobs, job('old'))
    const { engine, run } = await bench({ isolation, jobs })
    writeFileSync(jobs, `${slow}\n${job('slow')}`)
    const first = engine.reload()
    await waitFor(() => existsSync(loading))
    writeFileSync(jobs, job('newest'))
    await Promise.all([first, engine.reload(), engine.reload()])
    expect(await run('Job')).toMatchObject({ result: '"newest"' })
  })
})

test('an error ends its process also where what hears of errors fails, is gone or is broken', async () => {
  const jobs = join(folder(), 'jobs.mjs')
  writeFileSync(
    jobs,
    `export class Unheard {
      perform(how) {
        const fail = (message) => () => { throw new Error(message) }
        if (how === 'throws') process.on('uncaughtException', fail('the listener fails'))
        if (how === 'gone' || how === 'ends') process.removeAllListeners()
        if (how === 'broken') JSON.stringify = fail('JSON is broken')
        if (how !== 'ends') setTimeout(fail('nobody heard this'), 1)
        return new Promise(() => {})
      }
    }`,
  )
  const { run } = await bench({ isolation: 'fork', jobs }, await shipped())
  const ends = async (how: string): Promise<unknown> => {
    const outcome = await run('Unheard', [how])
    return outcome.kind === 'exited' && [outcome.code, /Error: .*/.exec(outcome.process?.stderr ?? '')?.[0]]
  }
  expect(await ends('throws')).toEqual([7, 'Error: the listener fails'])
  expect(await ends('gone')).toEqual([1, 'Error: nobody heard this'])
  expect(await ends('broken')).toEqual([7, 'Error: JSON is broken'])
  expect(await run('Unheard', ['ends'])).toMatchObject({
    kind: 'failed',
    error: { message: expect.stringContaining('never ended') },
  })
})

test('a job that runs during a reload ends in its own time', async () => {
  const { engine, begin, output } = await bench({ isolation: 'fork' })
  const job = begin('Polite')
  await waitFor(() => output.includes('stdout ready'))
  await engine.reload()
  job.abort('enough')
  expect(await job.outcome).toMatchObject({ kind: 'cancelled', reason: 'enough' })
  await waitFor(() => zygote())
})

test('a zygote that is killed during a reload leaves one to follow it, and not two', async () => {
  const { engine, notices, run } = await bench({ isolation: 'fork' })
  const zygotes = (): ProcessInfo[] =>
    descendants().filter((p) => p.command.includes('zygote') || p.command.includes('Forking jobs of'))
  for (let round = 1; round <= 3; round++) {
    const { pid } = zygote()
    const reloaded = engine.reload()
    await waitFor(() => zygotes().some((p) => p.ppid === process.pid && p.pid !== pid)) // the new one is on its way
    process.kill(pid, 'SIGKILL')
    await reloaded
    await waitFor(() => notices.filter((notice) => notice === 'info job processes are replaced').length === round)
    await waitFor(() => zygote())
    expect(await run('Draw')).toMatchObject({ kind: 'succeeded' })
  }
})

test('modules that do not load are refused with file and reason', async () => {
  const path = join(folder(), 'jobs.mjs')
  copyFileSync(fixture('hooks.ts'), path.replace('.mjs', '.ts'))
  for (const isolation of ['fork', 'spawn'] as const) {
    await expect(bench({ isolation, jobs: path })).rejects.toMatchObject({
      code: 'JOBS',
      message: expect.stringContaining(path),
    })
    await expect(bench({ isolation, hooks: path })).rejects.toMatchObject({ code: 'CONFIG' })
  }
})

describe.each(['fork', 'spawn'] as const)('the worker is killed with %s', (isolation) => {
  test('no job process outlives it, not even in an endless loop', async () => {
    const host = spawnNode([fixture('host.ts'), isolation, fixture('every.ts'), 'Loop', '[]'])
    const pid = Number((await host.waitForLine(/^pid /)).slice(4))
    expect(isAlive(pid)).toBe(true)
    await host.kill()
    await waitForDeath(pid)
    expect(isAlive(pid)).toBe(false)
  })

  test.runIf(process.getuid?.() === 0)('nor does one that became another user', async () => {
    const host = spawnNode([fixture('host.ts'), isolation, fixture('every.ts'), 'Loop', '[65534]'])
    const pid = Number((await host.waitForLine(/^pid /)).slice(4))
    await waitFor(() => /^Uid:\s+65534/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')))
    await host.kill()
    await waitForDeath(pid)
    expect(isAlive(pid)).toBe(false)
  })

  test('what its jobs started goes too', async () => {
    const temporary = mkdtempSync(join(tmpdir(), 'resqueue-'))
    own('pids of grandchildren', () => rmSync(temporary, { recursive: true }))
    const file = join(temporary, 'pids')
    const host = spawnNode([fixture('host.ts'), isolation, fixture('every.ts'), 'Grandchild', JSON.stringify([file])])
    const pids = await waitFor(() => {
      const found = readFileSync(file, 'utf8').split(' ').map(Number)
      return found.length === 2 && found
    })
    expect(pids.every(isAlive)).toBe(true)
    await host.kill()
    for (const pid of pids) await waitForDeath(pid)
    expect(pids.some(isAlive)).toBe(false)
  })
})

test('inline performs in this process, and says when it is told to stop', async () => {
  const { engine, run, begin, logs } = await bench({ isolation: 'inline' })
  expect(engine.isolation).toBe('inline')
  expect(await run('Echo', [1])).toMatchObject({ kind: 'succeeded', result: expect.stringContaining('"same":true') })
  expect(await run('Throw')).toMatchObject({ kind: 'failed', error: { type: 'TypeError' } })
  expect(await run('Skip')).toEqual({ kind: 'skipped' })
  const polite = begin('Polite')
  await polite.pid
  polite.abort('enough')
  expect(await polite.outcome).toEqual({ kind: 'cancelled', reason: 'enough' })
  expect(await run('Later', [], { timeoutMs: 5 })).toEqual({ kind: 'timed_out', timeoutMs: 5 })
  expect(logs).toEqual([])
})

/** Forking that fails as long as it is told: the zygote is answered for. */
function shortOfProcesses(): { addon: Addon; failing: boolean; close(): void } {
  const found = loadAddon()
  if ('missing' in found) throw new Error(found.missing)
  const { addon } = found
  let zygoteEnd = -1
  const short = {
    failing: false,
    close: () => addon.close(zygoteEnd),
    addon: {
      ...addon,
      socketpair: () => {
        const pair = addon.socketpair()
        if (zygoteEnd < 0) zygoteEnd = pair[1]
        return pair
      },
      close: (fd: number) => void (fd === zygoteEnd || addon.close(fd)),
      ask: (...[control, request, fds]: Parameters<Addon['ask']>) => {
        if (!short.failing || request.readUInt32LE(0) !== 1) return addon.ask(control, request, fds)
        const report = Buffer.alloc(49)
        report.writeUInt32LE(45, 0)
        report[4] = FRAME.forked
        request.copy(report, 5, 4, 12)
        report.writeInt32LE(constants.errno.EAGAIN, 17)
        addon.write(zygoteEnd, report)
        return 0
      },
    } satisfies Addon,
  }
  return short
}

test('a fork that fails for the moment keeps its job waiting: it is not given back, and nothing counts', async () => {
  const notices: string[] = []
  const events = {
    output: () => undefined,
    log: () => undefined,
    forked: () => undefined,
    notice: (_level: string, message: string) => void notices.push(message),
  }
  const short = shortOfProcesses()
  const backend = await startFork(
    { jobs: fixture('every.ts'), concurrency: 1, jobsPerChild: 1, killDelayMs: 300, isolation: 'fork', events },
    short.addon,
    { lost: () => undefined, unfit: () => undefined },
  )
  own('backend', async () => {
    await backend.retire()
    short.close()
  })
  const run = async (signal: AbortSignal): Promise<Outcome> =>
    backend.run(
      { id: 'an-id', queue: 'mail', class: 'Echo', payload: '{"class":"Echo","args":[1]}', attempt: 1 },
      { signal, timeoutMs: undefined, started: () => undefined, killers: new Set() },
    )
  const never = new AbortController().signal
  short.failing = true
  expect(await run(never)).toMatchObject({ kind: 'succeeded' }) // the spare child was made before
  const waits = run(never)
  const stopped = await Promise.all(Array.from({ length: 20 }, () => run(AbortSignal.timeout(100))))
  expect(stopped.map(({ kind }) => kind)).toEqual(stopped.map(() => 'cancelled'))
  expect(await Promise.race([waits, new Promise((resolve) => setTimeout(resolve, 400, 'waits'))])).toBe('waits')
  short.failing = false
  expect(await waits).toMatchObject({ kind: 'succeeded' })
  const said = notices.filter((notice) => notice === 'a job process could not be made: fork: EAGAIN')
  expect(said.length).toBeGreaterThan(0)
  expect(said.length).toBeLessThan(6) // once a second, not by each of 21 that try again and again
})

test('a self-test for which processes run out says so, and nothing about forking', async () => {
  const short = shortOfProcesses()
  own('channel', () => short.close())
  short.failing = true
  const events = { output: () => undefined, log: () => undefined, forked: () => undefined, notice: () => undefined }
  const backend = startFork(
    { jobs: fixture('every.ts'), concurrency: 1, jobsPerChild: 1, killDelayMs: 300, isolation: 'fork', events },
    short.addon,
    { lost: () => undefined, unfit: () => undefined },
  )
  await expect(backend).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('EAGAIN') })
})

test('where there are too few processes to begin with for the self-test, jobs are spawned, and a reload tries it again', async () => {
  const short = shortOfProcesses()
  own('channel', () => short.close())
  short.failing = true
  const create: typeof createEngine = (options) => createEngine(options, () => ({ addon: short.addon }))
  const { engine, run, notices } = await bench({ isolation: 'fork' }, create)
  expect(engine.isolation).toBe('spawn')
  expect(notices.at(-1)).toMatch(
    /^warn job processes are spawned, not forked: .*raise the limit of processes or memory/,
  )
  expect(await run('Work')).toMatchObject({ kind: 'succeeded' })
  short.failing = false
  await engine.reload()
  expect(engine.isolation).toBe('fork')
})

test('no more is drained from a pipe than it can hold, though somebody goes on filling it', async () => {
  const found = loadAddon()
  if ('missing' in found) throw new Error(found.missing)
  const { addon } = found
  const [read, write] = addon.pipe()
  const socket = new Socket({ fd: read, readable: true })
  const yes = spawn('yes', [], { stdio: ['ignore', write, 'ignore'] })
  own('yes', () => {
    yes.kill('SIGKILL')
    socket.destroy()
    addon.close(write)
  })
  await waitFor(() => (addon.drain(read)?.length ?? 0) > 0)
  for (let i = 0; i < 1000; i++) expect(addon.drain(read)?.length ?? 0).toBeLessThanOrEqual(2 * 65_536)
})
