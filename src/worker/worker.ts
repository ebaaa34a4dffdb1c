import { LONGEST_TIMER_MS, systemClock, type Clock } from '../clock.ts'
import { messageOf, ResQueueError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Payload } from '../queue/payload.ts'
import { register, workerId, type Registration } from '../queue/registry.ts'
import type { RenewReply } from '../queue/renew.ts'
import { selectQueues } from '../queue/selection.ts'
import { markRunning } from '../queue/status.ts'
import type { State } from '../queue/turn.ts'
import type { Store } from '../redis/store.ts'
import type { WorkerObserver, WorkerView } from '../telemetry/observer.ts'
import { createBackends, failureLists } from './backends.ts'
import type { Caretaker } from './caretaker.ts'
import { createCrew, type Crew } from './crew.ts'
import type { Engine } from './engine.ts'
import { engineEvents } from './engineevents.ts'
import { enroll } from './enroll.ts'
import { HASTY_FAREWELL_MS, sayFarewell } from './farewell.ts'
import { startHeartbeat, type Heartbeat } from './heartbeat.ts'
import { identify } from './identity.ts'
import { createEngine } from './isolation.ts'
import { isEndedLoading } from './loading.ts'
import type { WorkerOptions } from './options.ts'
import { workerPatience } from './patience.ts'
import { loadParentHooks } from './parenthooks.ts'
import { createQueueList } from './queuelist.ts'
import { createRunner } from './runner.ts'
import { act, type WorkerActions, type WorkerSignal } from './signals.ts'
import { createStopWord } from './stopword.ts'
import { createTitle } from './title.ts'
import { startTurns, type TurnLoop } from './turns.ts'
import { startWaiter, type Waiter } from './waiter.ts'

export type { WorkerSignal } from './signals.ts'

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

/** What exists once the worker has registered. */
interface Works {
  readonly caretaker: Caretaker
  readonly crew: Crew
  readonly turns: TurnLoop
  readonly waiter: Waiter | undefined
  readonly heartbeat: Heartbeat
}

/**
 * Starts a worker: loads the job code, registers, and works until told to stop, `--burst` finds nothing more, or
 * `--max-jobs` are done. Order of start-up: R13.
 */
export function startWorker(options: WorkerOptions, dependencies: WorkerDependencies): WorkerHandle {
  const { store, log, observer, clock = systemClock } = dependencies
  const { concurrency, maxJobs = Infinity } = options
  const identity = identify(options.name, failureLists(options.failureBackends))
  const selection = selectQueues(options.queues)
  const queueList = createQueueList(store, selection)
  const hard = new AbortController() // ends every insistence on Redis
  const left = Promise.withResolvers<{ exitCode: number }>()
  const stopWord = createStopWord()
  const title = createTitle(selection.label)

  let registration: Registration | undefined
  let works: Works | undefined
  let engine: Engine | undefined
  let pausedHere = false
  let remote: State = ''
  /** A burst takes nothing before what is due was moved: that belongs to what it does. */
  let promoting = options.burst
  let stopping = false
  let told = false
  let abandoned = false
  let deadline: NodeJS.Timeout | undefined
  let exitCode = 0
  let failure: { readonly error: unknown } | undefined
  let taken = 0
  let moved = clock.monotonic()
  let fencing: Promise<void> | undefined
  let leaving: Promise<void> | undefined

  const patience = workerPatience(store, log, hard.signal, () => {
    moved = clock.monotonic()
    if (stopping) settle()
  })
  const own = (): Registration => registration as Registration
  const running = (): number => works?.crew.size ?? 0
  const quota = (): number =>
    stopping || promoting || pausedHere || remote !== '' || fencing
      ? 0
      : Math.min(concurrency, Math.max(maxJobs - taken, 0))
  const able = (): boolean => works !== undefined && quota() > 0 && works.turns.occupied < concurrency

  /** Without Redis, and with nothing that runs or is to be recorded, a leaving worker has nothing to wait for but its farewell. */
  const forlorn = (): boolean => stopping && patience.troubled && works?.turns.occupied === 0

  /** Leaves when there is nothing left to do. */
  const settle = (): void => {
    const done = works?.turns.quiet && works.turns.occupied === 0 && !fencing && (stopping || taken >= maxJobs)
    if (done || forlorn()) void leave()
  }

  /** Stops what runs, and leaves when it is gone: the release puts it back, and nobody else may run it while we do. */
  const abandon = (atOnce: boolean): void => {
    stopping = true
    abandoned = true
    if (atOnce) engine?.kill()
    void (works?.crew.interrupt('shutdown') ?? Promise.resolve()).then(leave)
  }

  /** Leaves for good; `done` rejects once everything is closed. */
  const fail = (error: unknown): void => {
    if (hard.signal.aborted) return // what was still asked of Redis when we left
    failure ??= { error }
    exitCode = error instanceof ResQueueError ? error.exitCode : 1
    abandon(true)
  }

  /** Redis does not know us: others may hold our jobs. Kill them, and come back as somebody new. */
  const fence = (): void => {
    if (leaving || fencing || !works) return
    const { crew, turns } = works
    log.error(
      { process: own().nonce, jobs: crew.size },
      'this worker was taken for dead and its jobs were put back; stopping them',
    )
    fencing = (async () => {
      engine?.kill()
      await crew.interrupt('fenced')
      turns.reset()
      if (stopping) return
      crew.resetStatistics()
      registration = identity.registration(concurrency, selection.label, engine?.isolation ?? '')
      await register(store, registration, patience)
      turns.reset() // a turn that overtook the registration was told that nobody knows us
      log.info({ process: registration.nonce }, 'registered anew')
    })()
      .catch(fail)
      .finally(() => {
        fencing = undefined
        turns.wake()
        settle()
      })
  }

  const leave = (): Promise<void> => (leaving ??= Promise.resolve().then(farewell)) // it tells of its own trouble, and settles again
  const farewell = async (): Promise<void> => {
    clearTimeout(deadline)
    works?.waiter?.stop()
    await sayFarewell({
      store,
      log,
      clock,
      turns: works?.turns,
      nonce: registration?.nonce,
      maxRecoveries: options.maxRecoveries,
      patience,
      hasty: exitCode !== 0,
    })
    works?.heartbeat.stop()
    hard.abort()
    await engine?.stop()
    log.info({ exit_code: exitCode, jobs: taken }, 'worker stopped')
    if (failure) left.reject(failure.error)
    else left.resolve({ exitCode })
  }

  const actions: WorkerActions = {
    get told() {
      return told
    },
    drain: (why, withDeadline) => {
      stopWord.hear()
      if (!stopping || withDeadline)
        log.info({ signal: why, running: running() }, 'stopping: running jobs are finished, no new ones are taken')
      stopping = true
      told ||= withDeadline
      if (withDeadline && !leaving) {
        deadline ??= setTimeout(
          () => {
            log.warn({ running: running() }, 'the shutdown timeout is over: running jobs are stopped and put back')
            abandon(false)
          },
          Math.min(options.shutdownTimeoutMs, LONGEST_TIMER_MS),
        )
      }
      if (works) settle()
      else void leave()
    },
    halt: (why, code) => {
      log.warn({ signal: why, running: running() }, 'stopping at once: running jobs are killed and put back')
      exitCode = code
      // A farewell under way has the limits of one that has time.
      if (leaving) setTimeout(() => hard.abort(), HASTY_FAREWELL_MS).unref()
      abandon(true)
    },
    cancelJobs: () => {
      log.warn({ running: running() }, 'killing the running jobs')
      works?.crew.cancel('killed by SIGUSR1')
    },
    pause: () => {
      pausedHere = true
      log.info({}, 'paused: running jobs go on, no new ones are taken')
    },
    resume: () => {
      if (pausedHere) log.info({}, 'resumed')
      pausedHere = false
      works?.waiter?.nudge()
      works?.turns.wake()
    },
    reload: () => {
      engine?.reload().then(
        () => log.info({}, 'job code loaded anew'),
        (error: unknown) =>
          log.error({ 'error.message': messageOf(error) }, 'job code could not be loaded anew; the old code stays'),
      )
    },
  }

  /** What a renewal tells is acted on here. `before`: what was so when it was sent. */
  const renewed = (reply: RenewReply, before: { quiet: boolean; count: number; nonce: string }): void => {
    if (leaving || !works) return
    const { turns, waiter, caretaker } = works
    moved = clock.monotonic()
    if (reply.kind === 'gone') {
      if (own().nonce === before.nonce) fence()
      return
    }
    const resumed = remote !== '' && reply.state === ''
    remote = reply.state
    const freed = queueList.setPaused(reply.pausedQueues)
    const atRest = before.quiet && turns.quiet && turns.count === before.count
    if (atRest && reply.records > turns.occupied) turns.recall() // records that we do not know of
    if (reply.waiting > 0 || resumed || freed) turns.wake()
    if (resumed || freed) waiter?.nudge()
    queueList.refreshIfChanged(reply.knownQueues, moved, patience).then((changed) => changed && waiter?.nudge(), fail)
    if (reply.retryDue || reply.delayedDue)
      void caretaker.promote({ retry: reply.retryDue, delayed: reply.delayedDue }, patience)
    void caretaker.reap(patience)
    title.working(running(), quota() > 0, clock.now())
  }

  const start = async (): Promise<void> => {
    title.starting()
    const hooks = await loadParentHooks(options.hooks, log)
    const backends = await createBackends(options.failureBackends, log)
    engine = await createEngine({ ...options.engine, concurrency, events: engineEvents(log, observer) })
    if (stopping) return engine.stop() // we left while it was being made
    const fresh = identity.registration(concurrency, selection.label, engine.isolation)
    const registering = async (answered: Promise<unknown>): Promise<void> => {
      registration = fresh // from here on a release is due when we leave, for the answer may come late or never
      moved = clock.monotonic() // and standstill counts
      await answered.catch((error: unknown) => {
        if (!stopping) registration = undefined // refused: there is nothing to release
        throw error
      })
      moved = clock.monotonic()
    }
    const enrolment = { store, log, observer, clock, options, hooks, queueList, fresh, registering, patience }
    const caretaker = await enroll(enrolment)
    if (stopping) return
    works = assemble(
      caretaker,
      createRunner({
        engine,
        hooks,
        backends,
        observer,
        log,
        clock,
        stopWord,
        markRunning: tellRunning,
        workerId: (slot) => workerId(own(), slot),
      }),
    )
    // The lease is renewed by now: listeners may take their time.
    const promoted = caretaker.promote({ retry: true, delayed: true }, patience)
    if (promoting) await promoted
    promoting = false
    works.turns.wake()
  }

  const tellRunning = ({ id, prefix }: Payload): void => {
    markRunning(store, id, prefix).catch((error: unknown) => {
      log.debug({ job: id, 'error.message': messageOf(error) }, 'the status could not be written')
    })
  }

  const assemble = (caretaker: Caretaker, runner: ReturnType<typeof createRunner>): Works => {
    const crew = createCrew(concurrency, runner, (end) => turns.end(end))
    const turns = startTurns({
      store,
      clock,
      slots: concurrency,
      drainMark: identity.drainMark,
      maxRecoveries: options.maxRecoveries,
      patience,
      process: own,
      queues: queueList.queues,
      quota,
      willing: () => !stopping && !pausedHere,
      limited: maxJobs !== Infinity,
      start: (held) => {
        if (abandoned || leaving || fencing) return // the answer came late: a release puts it back, or has done so
        taken++
        crew.start(held)
      },
      turned: ({ state, more, pausedQueues, wanted, got }) => {
        moved = clock.monotonic()
        remote = state
        queueList.setPaused(pausedQueues)
        if (options.burst && wanted > got && !more && turns.occupied === 0) stopping = true
        if (wanted > got) {
          waiter?.nudge()
          heartbeat.idle()
        }
        settle()
      },
      rested: settle,
      gone: fence,
      refused: (end) =>
        log.error(
          { slot: end.slot, claim: end.claim },
          'the end of a job can be recorded nowhere: keys of another type are in the way',
        ),
      broken: fail,
    })
    const heartbeat = startHeartbeat({
      store,
      clock,
      intervalMs: options.intervalMs,
      drainMark: identity.drainMark,
      patience,
      process: own,
      able,
      look: () => (able() ? queueList.waitable() : []),
      statistics: () =>
        crew.changed().map(([slot, processed, failed]) => [workerId(own(), slot), processed, failed] as const),
      renewing: () => {
        const before = { quiet: turns.quiet, count: turns.count, nonce: own().nonce }
        return (reply) => renewed(reply, before)
      },
      broken: fail,
    })
    // A burst takes what is there and leaves: it has nothing to wait for.
    const waiter =
      options.blocking && !options.burst
        ? startWaiter(store, { able, queues: queueList.waitable, ahead: turns.ahead })
        : undefined
    return { caretaker, crew, turns, waiter, heartbeat }
  }

  start().catch(async (error: unknown) => {
    // A signal to all processes of a tree may reach the one that loads job code first.
    if (isEndedLoading(error)) await stopWord.comes()
    if (hard.signal.aborted || stopping) void leave()
    else fail(error)
  })

  return {
    done: left.promise,
    view: {
      slots: concurrency,
      get busy() {
        return running()
      },
      get isolation() {
        return engine?.isolation ?? 'none'
      },
      get trouble() {
        return engine?.trouble
      },
      get loopAgeMs() {
        return registration ? clock.monotonic() - moved : 0
      },
      get registered() {
        return works !== undefined
      },
      get stopping() {
        return stopping
      },
      get queues() {
        return queueList.queues()
      },
    },
    signal: (name) => act(name, actions),
  }
}
