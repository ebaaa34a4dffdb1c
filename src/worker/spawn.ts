import { messageOf, ResQueueError } from '../errors.ts'
import { MAX_PAUSE_MS, MAX_SPARE, MAX_TRIES, PAUSE_MS, REFILL_MS, type Backend } from './backend.ts'
import type { EngineOptions, JobPolicy } from './engine.ts'
import type { Outcome } from './outcome.ts'
import { spawnProcess, type SpawnedProcess } from './spawnedprocess.ts'
import { reasonOf, supervise } from './supervise.ts'

/**
 * A process that is not ready after this long never will be. A machine on which the first one took long gets ten times
 * that.
 */
const BOOT_MS = 60_000

/**
 * Runs each job in a Node process booted ahead of need. Rejects with `JOBS` or `CONFIG` when code does not load, with
 * `UNAVAILABLE` when no process can be made.
 */
export async function startSpawn(options: EngineOptions, shortestBootMs: number = BOOT_MS): Promise<Backend> {
  const all = new Set<SpawnedProcess>()
  const idle: SpawnedProcess[] = []
  const waiting: ((process: SpawnedProcess | string) => void)[] = []
  let booting = 0
  /** Rounds of processes that did not get ready, since one did. */
  let failures = 0
  let trouble: string | undefined
  let pause: NodeJS.Timeout | undefined
  let retired = false
  let running = 0
  let drained: (() => void) | undefined
  const spare = Math.min(options.concurrency, MAX_SPARE)

  const offer = (process: SpawnedProcess): void => {
    const next = waiting.shift()
    if (next) next(process)
    else if (retired) process.kill('SIGKILL')
    else idle.push(process)
  }
  const boot = (): SpawnedProcess => {
    const process = spawnProcess(options)
    booting += 1
    all.add(process)
    void process.gone.then(() => {
      all.delete(process)
      const at = idle.indexOf(process)
      if (at >= 0) idle.splice(at, 1)
    })
    return process
  }
  const failed = (error: unknown): void => {
    trouble = messageOf(error)
    if (!pause && (!retired || waiting.length > 0)) {
      const pauseMs = Math.min(PAUSE_MS * 2 ** failures, MAX_PAUSE_MS)
      failures += 1
      options.events.notice('error', `a job process did not start: ${trouble}`, { again_in_s: pauseMs / 1000 })
      pause = setTimeout(() => {
        pause = undefined
        refill()
      }, pauseMs)
    }
    // No descriptors or processes left for the moment: given back, the job would be here again at once, and those
    // behind it.
    if (error instanceof ResQueueError && error.code === 'UNAVAILABLE') return
    // The job code worked when the engine started, and no job has begun: another worker may be better off.
    for (const give of waiting.splice(0, booting > 0 ? 1 : waiting.length)) give(trouble)
  }
  const bootSpare = (): void => {
    let process: SpawnedProcess
    try {
      process = boot()
    } catch (error) {
      return failed(error)
    }
    const late = setTimeout(() => process.kill('SIGKILL'), bootMs)
    process.ready.then(
      () => {
        clearTimeout(late)
        booting -= 1
        failures = 0
        trouble = undefined
        offer(process)
        refill()
      },
      (error: unknown) => {
        clearTimeout(late)
        booting -= 1
        failed(error)
      },
    )
  }
  const refill = (): void => {
    // Where processes are never replaced, those that run now will wait again.
    const back = options.jobsPerChild === 0 ? running : 0
    // While none gets ready, one at a time is tried.
    while (
      !pause &&
      (failures === 0 || booting === 0) &&
      (waiting.length > booting || (!retired && idle.length + booting + back < spare + waiting.length))
    )
      bootSpare()
  }

  const from = performance.now()
  let first: SpawnedProcess
  let policies: ReadonlyMap<string, JobPolicy>
  try {
    first = boot()
    const loaded = await first.ready
    policies = new Map(loaded.policies.map((policy): [string, JobPolicy] => [policy.name, policy]))
  } catch (error) {
    if (error instanceof ResQueueError) throw error
    throw new ResQueueError('JOBS', `${options.jobs}: ${messageOf(error)}`, { cause: error })
  }
  const bootMs = Math.max(shortestBootMs, 10 * (performance.now() - from))
  booting -= 1
  offer(first)
  refill()

  /** A ready process, or why there is none; undefined when the run was aborted meanwhile. */
  const take = (signal: AbortSignal): Promise<SpawnedProcess | string | undefined> => {
    const ready = idle.shift()
    if (ready) return Promise.resolve(ready)
    return new Promise((resolve) => {
      const give = (got: SpawnedProcess | string | undefined): void => {
        signal.removeEventListener('abort', abort)
        resolve(got)
      }
      const abort = (): void => {
        waiting.splice(waiting.indexOf(give), 1)
        give(undefined)
      }
      if (signal.aborted) return resolve(undefined)
      signal.addEventListener('abort', abort, { once: true })
      waiting.push(give)
      refill()
    })
  }

  return {
    isolation: 'spawn',
    policies,
    trouble: () => (idle.length === 0 ? trouble : undefined),
    async run(job, control): Promise<Outcome> {
      running += 1
      try {
        for (let tries = 1; ; tries += 1) {
          const process = await take(control.signal)
          if (process === undefined) return { kind: 'cancelled', reason: reasonOf(control.signal) }
          if (typeof process === 'string') return { kind: 'returned', reason: process, counted: false }
          const ended = supervise(process, job, control, options)
          // Once the job is on its way, as are those of the same turn; a little later when others wait. Starting a
          // process takes a millisecond or two of this one, and a core from the job's own beginning.
          if (idle.length === 0) setImmediate(refill)
          else setTimeout(refill, REFILL_MS)
          const { outcome, reusable, unbegun } = await ended
          if (reusable && process.alive() && process.jobs() !== options.jobsPerChild) offer(process)
          if (!unbegun || tries === MAX_TRIES) return outcome
        }
      } finally {
        running -= 1
        if (running === 0) drained?.()
        if (!retired) refill()
      }
    },
    async retire() {
      retired = true
      clearTimeout(pause)
      pause = undefined
      refill() // for the jobs that wait for a process
      for (const process of idle.splice(0)) process.kill('SIGKILL')
      if (running > 0) await new Promise<void>((resolve) => (drained = resolve))
      for (const process of all) process.kill('SIGKILL')
      await Promise.all([...all].map((process) => process.gone))
    },
  }
}
