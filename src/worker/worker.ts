import { systemClock, type Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { release } from '../queue/recovery.ts'
import { register, workerId, type Registration } from '../queue/registry.ts'
import { selectQueues } from '../queue/selection.ts'
import type { State } from '../queue/turn.ts'
import type { Patience, Store } from '../redis/store.ts'
import type { WorkerObserver, WorkerView } from '../telemetry/observer.ts'
import { VERSION } from '../version.ts'
import { createBackends } from './backends.ts'
import { createCaretaker } from './caretaker.ts'
import type { Engine } from './engine.ts'
import { startHeartbeat } from './heartbeat.ts'
import { identify } from './identity.ts'
import { createEngine } from './isolation.ts'
import type { WorkerOptions } from './options.ts'
import { loadParentHooks } from './parenthooks.ts'
import { createQueueList } from './queuelist.ts'
import { createRunner, Interrupted } from './runner.ts'
import { startTurns, type TurnLoop } from './turns.ts'
import { startWaiter, type Waiter } from './waiter.ts'

export type WorkerSignal = 'SIGTERM' | 'SIGQUIT' | 'SIGINT' | 'SIGUSR1' | 'SIGUSR2' | 'SIGCONT' | 'SIGHUP'

export interface WorkerDependencies {
  readonly store: Store
  readonly log: Logger
  readonly observer: WorkerObserver
  readonly clock?: Clock
}

export interface WorkerHandle {
  readonly view: WorkerView
  /** Resolves when the worker has left, with its exit code: 0, 130 or 143. Rejects when it cannot start (`JOBS`, `CONFIG`, `REDIS_…`). */
  readonly done: Promise<{ readonly exitCode: number }>
  /** What a signal of this name does; docs/configuration.md, "Signals". */
  signal(name: WorkerSignal): void
}

/** Between two changes of the process title. */
const TITLE_MS = 500
/** Redis may be away when we leave; then others put our jobs back when the lease lapses. Milliseconds. */
const FAREWELL_MS = 10_000

/**
 * Starts a worker: loads the job code, registers, and works until told to stop, `--burst` finds nothing more, or
 * `--max-jobs` are done. Order of start-up: R13.
 */
export function startWorker(options: WorkerOptions, dependencies: WorkerDependencies): WorkerHandle {
  const { store, log, observer, clock = systemClock } = dependencies
  const { concurrency } = options
  const identity = identify(options.name)
  const selection = selectQueues(options.queues)
  const queueList = createQueueList(store, selection)
  const hard = new AbortController() // ends every insistence on Redis
  const left = Promise.withResolvers<{ exitCode: number }>()

  let engine: Engine | undefined
  let process_: Registration | undefined
  let turns: TurnLoop | undefined
  let waiter: Waiter | undefined
  let heartbeat: { stop(): void } | undefined
  let registered = false
  let pausedHere = false
  let remote: State = ''
  let stopping = false
  let deadline: NodeJS.Timeout | undefined
  let exitCode = 0
  let taken = 0
  let moved = clock.monotonic()
  let troubled = false
  let fencing: Promise<void> | undefined
  let leaving: Promise<void> | undefined
  const running = new Map<number, { abort: AbortController; done: Promise<void> }>()
  const statistics = Array.from({ length: concurrency }, () => ({ processed: 0, failed: 0, dirty: false }))

  const patience: Patience = {
    deadlineMs: Infinity,
    stubborn: true,
    signal: hard.signal,
    trouble: (error) => {
      moved = clock.monotonic()
      if (error && !troubled) log.warn({ redis: store.address, 'error.message': messageOf(error) }, 'Redis is unavailable; waiting for it')
      if (!error && troubled) log.info({ redis: store.address }, 'Redis is back')
      troubled = error !== undefined
    },
  }

  const quota = (): number => {
    if (stopping || pausedHere || remote !== '' || fencing || !engine) return 0
    return options.maxJobs === undefined ? concurrency : Math.max(options.maxJobs - taken, 0)
  }
  const current = (): Registration => process_ as Registration
  const able = (): boolean => quota() > 0 && (turns?.occupied ?? concurrency) < concurrency
  let titledAt = -Infinity
  const title = (state: string): void => {
    if (clock.monotonic() - titledAt < TITLE_MS) return // writing it costs more than a job
    titledAt = clock.monotonic()
    process.title = `resque-${VERSION} (${selection.label}): ${state}` // R56
  }
  const break_ = (error: unknown): void => {
    log.error({ 'error.message': messageOf(error) }, 'the worker cannot go on')
    exitCode = 1
    left.reject(error as Error)
    void leave()
  }

  const settle = (): void => {
    const idle = turns !== undefined && turns.occupied === 0 && turns.quiet
    title(running.size > 0 ? `Processing ${running.size} since ${new Date(clock.now()).toISOString()}` : quota() === 0 ? 'Paused' : 'Waiting for jobs')
    if (!idle || fencing) return
    if (stopping || (options.maxJobs !== undefined && taken >= options.maxJobs)) void leave()
  }

  /** Stops all running jobs without recording their end, and waits until their processes are gone. */
  const interrupt = async (reason: string, now: boolean): Promise<void> => {
    for (const job of running.values()) job.abort.abort(new Interrupted(reason))
    if (now) engine?.kill()
    await Promise.all([...running.values()].map((job) => job.done))
  }

  /** Redis does not know us: others may hold our jobs. Stop them, and come back as somebody new. */
  const fence = (): void => {
    if (leaving) return
    fencing ??= (async () => {
      log.error({ process: current().nonce, jobs: running.size }, 'this worker was taken for dead and its jobs were put back; stopping them')
      await interrupt('fenced', true)
      turns?.reset()
      if (stopping) return
      for (const counts of statistics) Object.assign(counts, { processed: 0, failed: 0, dirty: false })
      process_ = identity.registration(concurrency, selection.label, engine?.isolation ?? '')
      await register(store, current(), patience)
      log.info({ process: current().nonce }, 'registered anew')
    })()
      .catch((error: unknown) => {
        if (!hard.signal.aborted) break_(error)
      })
      .finally(() => {
        fencing = undefined
        turns?.wake()
        settle()
      })
  }

  const leave = (): Promise<void> =>
    (leaving ??= (async () => {
      clearTimeout(deadline)
      waiter?.stop()
      const within: Patience = { ...patience, deadlineMs: FAREWELL_MS }
      try {
        if (turns) await Promise.race([turns.flushed(), new Promise((resolve) => setTimeout(resolve, FAREWELL_MS).unref())])
        turns?.stop()
        if (process_) {
          const result = await release(store, process_.nonce, { kind: 'owner' }, options.maxRecoveries, within)
          if (result.kind === 'released' && result.back > 0) log.warn({ jobs: result.back }, 'unfinished jobs were put back in front of their queues')
        }
      } catch (error) {
        log.error({ 'error.message': messageOf(error) }, 'could not unregister; other workers put the jobs back when the lease lapses')
      }
      heartbeat?.stop()
      hard.abort()
      await engine?.stop()
      log.info({ exit_code: exitCode, jobs: taken }, 'worker stopped')
      left.resolve({ exitCode })
    })())

  const stop = (why: string, timeoutMs: number | undefined): void => {
    if (!stopping) log.info({ signal: why, running: running.size }, 'stopping: running jobs are finished, no new ones are taken')
    stopping = true
    if (timeoutMs !== undefined) {
      deadline ??= setTimeout(() => {
        log.warn({ running: running.size }, 'the shutdown timeout is over: running jobs are stopped and put back')
        void interrupt('shutdown', false).then(leave)
      }, timeoutMs)
    }
    if (turns) settle()
    else void leave()
  }

  const halt = (why: string, code: number): void => {
    log.warn({ signal: why, running: running.size }, 'stopping at once: running jobs are killed and put back')
    stopping = true
    exitCode = code
    void interrupt('shutdown', true).then(leave)
  }

  const run = async (): Promise<void> => {
    title('Starting')
    const hooks = await loadParentHooks(options.hooks, log)
    const backends = await createBackends(options.failureBackends, log)
    engine = await createEngine({
      ...options.engine,
      concurrency,
      events: {
        output: (job, stream, line) => log.info({ job: job.id, queue: job.queue, class: job.class, stream, line }, 'job output'),
        forked: (isolation, seconds) => observer.forked(isolation, seconds),
        notice: (level, message, fields = {}) => log[level](fields, message),
      },
    })
    if (stopping) return
    const starting: Patience = options.failFast ? { deadlineMs: 5000, signal: hard.signal } : { ...patience, stubborn: false }
    process_ = identity.registration(concurrency, selection.label, engine.isolation)
    await queueList.refresh(starting)
    const caretaker = createCaretaker(store, { maxRecoveries: options.maxRecoveries, log, observer, hooks, clock })
    await hooks.tell('beforeFirstFork', current())
    await register(store, current(), starting)
    await caretaker.recoverPredecessors(current(), patience)
    registered = true
    log.info({ process: current().nonce, queues: options.queues, slots: concurrency, isolation: engine.isolation, version: VERSION }, 'worker started')
    await caretaker.promote({ retry: true, delayed: true }, patience)

    const runner = createRunner({ engine: () => engine as Engine, hooks, backends, observer, log, clock, workerId: (slot) => workerId(current(), slot) })
    turns = startTurns({
      store,
      clock,
      slots: concurrency,
      drainMark: identity.drainMark,
      maxRecoveries: options.maxRecoveries,
      patience,
      process: current,
      queues: queueList.queues,
      quota,
      start: (held) => {
        taken++
        const abort = new AbortController()
        const done = runner.run(held, abort.signal).then((end) => {
          running.delete(held.slot)
          if (!end) return
          const counts = statistics[held.slot]
          if (counts && end.ending.verb !== 'return' && end.ending.verb !== 'quarantine') {
            counts.processed++
            if (end.ending.verb !== 'done') counts.failed++
            counts.dirty = true
          }
          turns?.end(end)
        })
        running.set(held.slot, { abort, done })
      },
      turned: ({ state, pausedQueues, wanted, got }) => {
        moved = clock.monotonic()
        remote = state
        queueList.setPaused(pausedQueues)
        if (wanted > got) {
          if (options.burst && turns?.occupied === 0) stopping = true
          waiter?.nudge()
        }
        settle()
      },
      gone: fence,
      refused: (end) => log.error({ slot: end.slot, claim: end.claim }, 'the end of a job can be recorded nowhere: keys of another type are in the way'),
      broken: break_,
    })
    heartbeat = startHeartbeat({
      store,
      clock,
      intervalMs: options.intervalMs,
      drainMark: identity.drainMark,
      patience,
      process: current,
      look: () => (able() ? queueList.waitable() : []),
      statistics: () => {
        const changed: [string, number, number][] = []
        statistics.forEach((counts, slot) => {
          if (!counts.dirty) return
          counts.dirty = false
          changed.push([workerId(current(), slot), counts.processed, counts.failed])
        })
        return changed
      },
      renewing: () => {
        const before = { quiet: turns?.quiet === true, count: turns?.count, nonce: current().nonce }
        return (reply) => {
          if (leaving) return
          moved = clock.monotonic()
          if (reply.kind === 'gone') {
            if (current().nonce === before.nonce && !fencing) fence()
            return
          }
          const was = remote
          remote = reply.state
          queueList.setPaused(reply.pausedQueues)
          if (was !== remote) waiter?.nudge()
          const still = before.quiet && turns?.quiet === true && turns.count === before.count
          if (reply.waiting > 0 || (still && reply.records > turns!.occupied) || (was !== '' && remote === '')) turns?.wake()
          void queueList.refreshIfChanged(reply.knownQueues, clock.monotonic(), patience).then((changed) => changed && waiter?.nudge(), break_)
          if (reply.retryDue || reply.delayedDue) void caretaker.promote({ retry: reply.retryDue, delayed: reply.delayedDue }, patience)
          void caretaker.reap(patience)
        }
      },
      broken: break_,
    })
    if (options.blocking) waiter = startWaiter(store, { able, queues: queueList.waitable, woken: (queue) => turns?.wake(queue) })
    turns.wake()
  }

  run().catch((error: unknown) => {
    if (hard.signal.aborted || stopping) return leave()
    left.reject(error as Error)
    return leave()
  })

  return {
    done: left.promise,
    view: {
      slots: concurrency,
      get busy() {
        return running.size
      },
      get isolation() {
        return engine?.isolation ?? 'none'
      },
      get loopAgeMs() {
        return registered ? clock.monotonic() - moved : 0
      },
      get registered() {
        return registered
      },
      get stopping() {
        return stopping
      },
      get queues() {
        return queueList.queues()
      },
    },
    signal: (name) => {
      switch (name) {
        case 'SIGTERM':
          if (stopping) halt(name, 143)
          else stop(name, options.shutdownTimeoutMs)
          return
        case 'SIGINT':
          if (stopping) halt(name, 130)
          else stop(name, options.shutdownTimeoutMs)
          return
        case 'SIGQUIT':
          stop(name, undefined)
          return
        case 'SIGUSR1':
          log.warn({ running: running.size }, 'killing the running jobs')
          for (const job of running.values()) job.abort.abort(new Error('killed by SIGUSR1'))
          return
        case 'SIGUSR2':
          pausedHere = true
          log.info({}, 'paused: running jobs go on, no new ones are taken')
          settle()
          return
        case 'SIGCONT':
          if (pausedHere) log.info({}, 'resumed')
          pausedHere = false
          waiter?.nudge()
          turns?.wake()
          return
        case 'SIGHUP':
          engine?.reload().then(
            () => log.info({}, 'job code loaded anew'),
            (error: unknown) => log.error({ 'error.message': messageOf(error) }, 'job code could not be loaded anew; the old code stays'),
          )
      }
    },
  }
}
