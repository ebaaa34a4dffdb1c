import { systemClock, type Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Payload } from '../queue/payload.ts'
import { register, workerId, type Registration } from '../queue/registry.ts'
import type { RenewReply } from '../queue/renew.ts'
import { selectQueues } from '../queue/selection.ts'
import { markRunning } from '../queue/status.ts'
import type { State } from '../queue/turn.ts'
import type { Store } from '../redis/store.ts'
import type { WorkerObserver, WorkerView } from '../telemetry/observer.ts'
import type { Caretaker } from './caretaker.ts'
import { createCrew, type Crew } from './crew.ts'
import type { Engine } from './engine.ts'
import { engineEvents } from './engineevents.ts'
import { enroll } from './enroll.ts'
import { createFailureBackends, failureLists } from './failurebackends.ts'
import { sayFarewell } from './farewell.ts'
import { createFencing, type Fencing } from './fencing.ts'
import { startHeartbeat, type Heartbeat } from './heartbeat.ts'
import { identify } from './identity.ts'
import { createEngine } from './isolation.ts'
import { createLeaving } from './leaving.ts'
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
  /**
   * Resolves when the worker has left, with its exit code: 0, 130 or 143. Rejects when it cannot start (`JOBS`,
   * `CONFIG`, `UNAVAILABLE`, `REDIS_…`).
   */
  readonly done: Promise<{ readonly exitCode: number }>
  /** What a signal of this name does; docs/configuration.md, "Signals". */
  signal(name: WorkerSignal): void
}

/** What exists once the worker has registered. */
interface Works {
  readonly caretaker: Caretaker
  readonly crew: Crew
  readonly turns: TurnLoop
  readonly fencing: Fencing
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
  const stopWord = createStopWord()
  const title = createTitle(selection.label)

  let registration: Registration | undefined
  let works: Works | undefined
  let engine: Engine | undefined
  let pausedHere = false
  let remote: State = ''
  /** A burst takes nothing before what is due was moved: that belongs to what it does. */
  let promoting = options.burst
  let taken = 0
  let moved = clock.monotonic()

  const patience = workerPatience(store, log, hard.signal, () => {
    moved = clock.monotonic()
    if (leaving.stopping) leaving.settle()
  })
  const own = (): Registration => registration as Registration
  const running = (): number => works?.crew.size ?? 0
  const quota = (): number =>
    leaving.stopping || promoting || pausedHere || remote !== '' || works?.fencing.underWay
      ? 0
      : Math.min(concurrency, Math.max(maxJobs - taken, 0))
  const able = (): boolean => works !== undefined && quota() > 0 && works.turns.occupied < concurrency

  const leaving = createLeaving({
    log,
    shutdownTimeoutMs: options.shutdownTimeoutMs,
    hard,
    running,
    ready: () => {
      if (!works) return leaving.stopping
      const { turns, fencing } = works
      if (turns.occupied > 0) return false
      // Without Redis there is nothing to wait for but the farewell.
      if (leaving.stopping && patience.troubled) return true
      return turns.quiet && !fencing.underWay && (leaving.stopping || taken >= maxJobs)
    },
    interrupt: async (atOnce) => {
      if (atOnce) engine?.kill()
      await works?.crew.interrupt('shutdown')
    },
    farewell: async () => {
      works?.waiter?.stop()
      await sayFarewell({
        store,
        log,
        clock,
        turns: works?.turns,
        nonce: registration?.nonce,
        maxRecoveries: options.maxRecoveries,
        patience,
        hasty: leaving.exitCode !== 0,
      })
      works?.heartbeat.stop()
      hard.abort()
      await engine?.stop()
      log.info({ exit_code: leaving.exitCode, jobs: taken }, 'worker stopped')
    },
  })

  const actions: WorkerActions = {
    get told() {
      return leaving.told
    },
    drain: (why, withDeadline) => {
      stopWord.hear()
      leaving.drain(why, withDeadline)
    },
    halt: leaving.halt,
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
        () => log.info({}, 'job code reloaded'),
        (error: unknown) =>
          log.error({ 'error.message': messageOf(error) }, 'job code could not be reloaded; the old code stays'),
      )
    },
  }

  /** What a renewal tells is acted on here. `before`: what was so when it was sent. */
  const renewed = (reply: RenewReply, before: { quiet: boolean; count: number; nonce: string }): void => {
    if (leaving.begun || !works) return
    const { turns, waiter, caretaker, fencing } = works
    moved = clock.monotonic()
    if (reply.kind === 'gone') {
      if (own().nonce === before.nonce) fencing.fence()
      return
    }
    const resumed = remote !== '' && reply.state === ''
    remote = reply.state
    const freed = queueList.setPaused(reply.pausedQueues)
    const atRest = before.quiet && turns.quiet && turns.count === before.count
    if (atRest && reply.records > turns.occupied) turns.recall() // records that we do not know of
    if (reply.waiting > 0 || resumed || freed) turns.wake()
    if (resumed || freed) waiter?.nudge()
    queueList
      .refreshIfChanged(reply.knownQueues, moved, patience)
      .then((changed) => changed && waiter?.nudge(), leaving.fail)
    if (reply.retryDue || reply.delayedDue)
      void caretaker.promote({ retry: reply.retryDue, delayed: reply.delayedDue }, patience)
    void caretaker.reap(patience)
    title.working(running(), quota() > 0, clock.now())
  }

  const start = async (): Promise<void> => {
    title.starting()
    const hooks = await loadParentHooks(options.hooks, log)
    const failureBackends = await createFailureBackends(options.failureBackends, log)
    engine = await createEngine({ ...options.engine, concurrency, events: engineEvents(log, observer) })
    if (leaving.stopping) return engine.stop() // we left while it was being made
    const fresh = identity.registration(concurrency, selection, engine.isolation)
    const registering = async (answered: Promise<unknown>): Promise<void> => {
      registration = fresh // from here on a release is due when we leave, for the answer may come late or never
      moved = clock.monotonic() // and standstill counts
      await answered.catch((error: unknown) => {
        if (!leaving.stopping) registration = undefined // refused: there is nothing to release
        throw error
      })
      moved = clock.monotonic()
    }
    const enrollment = { store, log, observer, clock, options, hooks, queueList, fresh, registering, patience }
    const caretaker = await enroll(enrollment)
    if (leaving.stopping) return
    works = assemble(
      caretaker,
      createRunner({
        engine,
        hooks,
        failureBackends,
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
    /** Claims whose end was refused and told. */
    const unrecorded = new Set<number>()
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
      willing: () => !leaving.stopping && !pausedHere,
      limited: maxJobs !== Infinity,
      start: (held) => {
        if (leaving.abandoned || leaving.begun || fencing.underWay) return // the answer came late: a release puts it back, or has done so
        taken++
        crew.start(held)
      },
      turned: ({ state, more, quarantined, pausedQueues, wanted, got }) => {
        moved = clock.monotonic()
        if (quarantined > 0) log.error({ payloads: quarantined }, 'payloads that are no jobs put into quarantine')
        remote = state
        queueList.setPaused(pausedQueues)
        if (options.burst && wanted > got && !more && turns.occupied === 0) leaving.stop()
        if (wanted > got) {
          waiter?.nudge()
          heartbeat.idle()
        }
        leaving.settle()
      },
      rested: leaving.settle,
      gone: () => fencing.fence(),
      refused: ({ slot, claim }) => {
        if (unrecorded.has(claim)) return
        unrecorded.add(claim)
        log.error(
          { slot, claim, keys: [store.keys.failed, store.keys.quarantine] },
          'the end of a job can be recorded nowhere, because keys hold another type; tried again every second',
        )
      },
      broken: leaving.fail,
    })
    const fencing = createFencing({
      log,
      leaving,
      crew,
      turns,
      nonce: () => own().nonce,
      kill: () => engine?.kill(),
      anew: async () => {
        registration = identity.registration(concurrency, selection, engine?.isolation ?? '')
        await register(store, registration, patience)
        return registration.nonce
      },
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
      broken: leaving.fail,
    })
    // A burst takes what is there and leaves: it has nothing to wait for.
    const waiter =
      options.blocking && !options.burst
        ? startWaiter(store, { able, queues: queueList.waitable, ahead: turns.ahead })
        : undefined
    return { caretaker, crew, turns, fencing, waiter, heartbeat }
  }

  start().catch(async (error: unknown) => {
    // A signal to all processes of a tree may reach the one that loads job code first.
    if (isEndedLoading(error)) await stopWord.comes()
    if (hard.signal.aborted || leaving.stopping) leaving.leave()
    else leaving.fail(error)
  })

  return {
    done: leaving.done,
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
      get waitsForRedis() {
        return patience.troubled
      },
      get paused() {
        return pausedHere || remote === 'paused'
      },
      get stopping() {
        return leaving.stopping
      },
      get queues() {
        return queueList.queues()
      },
    },
    signal: (name) => act(name, actions),
  }
}
