import { host, logLevel, maxClassLabels, pidfile, port, workerGroups } from '../config.ts'
import { defined } from '../defined.ts'
import { createLogger } from '../log.ts'
import { openStore } from '../redis/store.ts'
import { workerChecks } from '../telemetry/health.ts'
import type { WorkerView } from '../telemetry/observer.ts'
import { startServer } from '../telemetry/server.ts'
import { createTelemetry } from '../telemetry/telemetry.ts'
import { VERSION } from '../version.ts'
import { keepHeapSmall } from '../worker/heap.ts'
import { endWithin } from '../worker/linger.ts'
import type { WorkerOptions } from '../worker/options.ts'
import { startWorker, type WorkerHandle, type WorkerSignal } from '../worker/worker.ts'
import { writePidfile } from './pidfile.ts'
import type { Context, Verb } from './verb.ts'
import { workerOptions } from './workeroptions.ts'

const SIGNALS: readonly WorkerSignal[] = ['SIGTERM', 'SIGQUIT', 'SIGINT', 'SIGUSR1', 'SIGUSR2', 'SIGCONT', 'SIGHUP']

/**
 * How long the operator's own code, or a look-up of Redis' name, may hold the process after the worker has left.
 * Milliseconds.
 */
const LINGER_MS = 1000

async function work({ get, config }: Context): Promise<number> {
  const options = workerOptions({ get })
  if (options.engine.isolation !== 'inline') keepHeapSmall()
  const log = createLogger({ level: get(logLevel), pretty: process.stdout.isTTY })
  const file = get(pidfile)
  const removePidfile = file === undefined ? undefined : writePidfile(file)
  const store = openStore(config, 'resqueue-worker')
  let worker: WorkerHandle | undefined
  const starting = beforeStart(options)
  const view = (): WorkerView => worker?.view ?? starting
  const telemetry = createTelemetry({ store, view, version: VERSION, maxClassLabels: get(maxClassLabels), log })
  const forward = (signal: NodeJS.Signals): void => worker?.signal(signal as WorkerSignal)
  try {
    // Before anything is registered: a port that is taken must not leave traces in Redis.
    await using server = await startServer({ port: get(port), host: get(host), telemetry, checks: workerChecks(view) })
    log.info(defined({ port: server.port, host: get(host) }), 'health and metrics are served')
    worker = startWorker(options, { store, log, observer: telemetry.observer })
    for (const signal of SIGNALS) process.on(signal, forward)
    const { exitCode } = await worker.done
    return exitCode
  } finally {
    store.close()
    removePidfile?.()
    endWithin(LINGER_MS)
  }
}

/** What probes see until the worker exists. */
function beforeStart({ concurrency }: WorkerOptions): WorkerView {
  return Object.freeze({
    slots: concurrency,
    busy: 0,
    isolation: 'none',
    loopAgeMs: 0,
    registered: false,
    paused: false,
    stopping: false,
    queues: [],
  })
}

export const verbs: readonly Verb[] = [
  {
    name: '',
    summary: 'run a worker',
    operands: '',
    count: [0, 0],
    about: `Takes jobs from its queues, in order of priority, and performs each in a process of its own. Signals: TERM and INT let running jobs finish until --shutdown-timeout and put back what still runs then; a second one stops at once and puts the jobs back; QUIT lets them finish without a deadline; USR1 kills the running jobs; USR2 pauses, CONT resumes; HUP reloads the job code.`,
    examples: [
      'work --queues critical,mail --jobs ./jobs --concurrency 4',
      "work --queues '*,!slow' --jobs ./jobs/index.js --job-memory 512 --timeout 10m",
      'work --queues import --jobs ./jobs --burst --port 0',
    ],
    options: workerGroups.flatMap((group) => group.options),
    redis: true,
    run: work,
  },
]
