import { sleep } from '../clock.ts'
import { messageOf } from '../errors.ts'
import { loadAddon } from './addon.ts'
import type { Backend } from './backend.ts'
import type { Engine, EngineOptions, Isolation, JobRun } from './engine.ts'
import { startFork } from './fork.ts'
import { startInline } from './inline.ts'
import type { Outcome } from './outcome.ts'
import { Short, Unfit } from './selftest.ts'
import { startSpawn } from './spawn.ts'
import { reasonOf } from './supervise.ts'

/** The majors whose forking this project's own tests run on. */
const TESTED_MAJORS = new Set([24, 26])
const RETRY_MS = 500
/** How often a fork that has worked before is tried again before spawning for good. */
const REFORKS = 3
const MAX_RETRY_MS = 10_000

/** Whether this system has glibc, as Node's own report says. */
function hasGlibc(): boolean {
  const report = process.report as typeof process.report & { excludeNetwork: boolean }
  const { excludeNetwork } = report
  // Else it looks up the names of all connections: this process would stand still where DNS does not answer.
  report.excludeNetwork = true
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } }
  report.excludeNetwork = excludeNetwork
  return header.glibcVersionRuntime !== undefined
}

/** Why a real fork is out of the question here, before anything is tried. */
function whyNotFork(): string | undefined {
  if (process.platform !== 'linux') return `this is ${process.platform}, not Linux`
  if (!hasGlibc()) return 'this system has no glibc'
  const major = Number.parseInt(process.versions.node, 10)
  return TESTED_MAJORS.has(major)
    ? undefined
    : `Node ${major} is not one of the tested ones (${[...TESTED_MAJORS].join(', ')})`
}

/**
 * Starts an engine: loads job code where it will run and proves that the isolation works. Rejects with `JOBS` or
 * `CONFIG` when code does not load, with `UNAVAILABLE` when no process can be made. `auto` and `fork` fall back to
 * `spawn` with one notice that says why; a fork that has worked before does not where processes run out.
 */
export async function createEngine(options: EngineOptions, load: typeof loadAddon = loadAddon): Promise<Engine> {
  const { events } = options
  const stopping = new AbortController()
  const { signal: stopped } = stopping
  /** Spawn for the rest of this engine's life, because forked children were seen to hang. */
  let noMoreForks = false
  /** A forking backend has worked here. */
  let forked = false
  let current: Backend
  /** Set while there is no backend that could run jobs. */
  let replacing: Promise<void> | undefined
  /** Why the last try to replace it failed. */
  let irreplaceable: string | undefined
  const retiring = new Set<Promise<void>>()
  const retired = new WeakSet<Backend>()
  const killers = new Set<() => void>()

  /** Waits, or until the engine is stopped. */
  const pause = (ms: number): Promise<void> => sleep(ms, stopped).catch(() => undefined)
  const fallBack = (reason: string): Promise<Backend> => {
    events.notice('warn', `job processes are spawned, not forked: ${reason}`, { isolation: 'spawn' })
    return startSpawn(options)
  }
  const start = async (tries = forked ? REFORKS : 0): Promise<Backend> => {
    if (options.isolation === 'inline') return startInline(options)
    if (options.isolation === 'spawn' || noMoreForks) return startSpawn(options)
    const obstacle = whyNotFork()
    if (obstacle !== undefined) return fallBack(obstacle)
    const found = load()
    if ('missing' in found) return fallBack(found.missing)
    let self: Backend | undefined
    try {
      self = await startFork(options, found.addon, {
        lost(reason) {
          if (self && self === current) replace(reason)
        },
        unfit(reason) {
          noMoreForks = true
          if (self && self === current) replace(reason)
        },
      })
      forked = true
      return self
    } catch (error) {
      // A fork that worked before was disturbed (somebody killed a child in its test): worth another try.
      if (error instanceof Unfit && tries > 0 && !stopped.aborted) {
        await pause(RETRY_MS)
        return start(tries - 1)
      }
      // Processes ran out: who has forked before does so again once there are some, and who has not makes do with few.
      if (error instanceof Unfit || (error instanceof Short && !forked)) return fallBack(error.message)
      throw error
    }
  }
  const retire = (backend: Backend): void => {
    if (retired.has(backend)) return
    retired.add(backend)
    const done = backend.retire().finally(() => retiring.delete(done))
    retiring.add(done)
  }
  /** A reload and a replacement may overlap: what the later of them finds in place goes. */
  const install = (made: Backend): void => {
    retire(stopped.aborted ? made : current)
    if (!stopped.aborted) current = made
  }
  const replace = (reason: string): void => {
    if (stopped.aborted || replacing) return
    events.notice('warn', `job processes are being replaced: ${reason}`)
    retire(current)
    const attempt = async (pauseMs: number): Promise<void> => {
      try {
        install(await start())
        irreplaceable = undefined
        events.notice('info', 'job processes are replaced', { isolation: current.isolation })
      } catch (error) {
        irreplaceable = messageOf(error)
        events.notice('error', `job processes cannot be replaced: ${irreplaceable}`)
        await pause(pauseMs)
        if (!stopped.aborted) await attempt(Math.min(pauseMs * 2, MAX_RETRY_MS))
      }
    }
    replacing = attempt(RETRY_MS).finally(() => (replacing = undefined))
  }

  /**
   * The reload that began last, and one that waits for its end: code that changed meanwhile must not come behind the
   * older.
   */
  let latest: Promise<void> = Promise.resolve()
  let upcoming: Promise<void> | undefined
  const takeUp = async (): Promise<void> => {
    upcoming = undefined // from here on code may be read before it changes again
    await replacing
    install(await start())
  }

  const run = (job: JobRun, signal: AbortSignal, started: (pid: number) => void): Outcome | Promise<Outcome> => {
    if (stopped.aborted) return { kind: 'cancelled', reason: 'the engine was stopped' }
    if (signal.aborted) return { kind: 'cancelled', reason: reasonOf(signal) }
    const timeoutMs = job.timeoutMs ?? current.policies.get(job.class)?.timeoutMs ?? options.timeoutMs
    return current.run(job, { signal, timeoutMs, started, killers })
  }
  const runLater = async (...[job, signal, started]: Parameters<typeof run>): Promise<Outcome> => {
    while (replacing && !signal.aborted) await Promise.race([replacing, aborted(signal)])
    return run(job, signal, started)
  }

  current = await start()

  return {
    get isolation(): Isolation {
      return current.isolation
    },
    get policies() {
      return current.policies
    },
    get trouble() {
      return irreplaceable ?? current.trouble?.()
    },
    run(job, signal, started = ignore) {
      return replacing ? runLater(job, signal, started) : run(job, signal, started)
    },
    kill() {
      for (const killer of killers) killer()
    },
    reload() {
      return (upcoming ??= latest = latest.then(takeUp, takeUp))
    },
    async stop() {
      stopping.abort()
      await replacing
      retire(current)
      await Promise.all(retiring)
    },
  }
}

const ignore = (): void => {}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
