import type { Redis } from 'ioredis'
import { silentLogger, type Logger } from '../../src/log.ts'
import { openStore, type Store } from '../../src/redis/store.ts'
import type { WorkerObserver } from '../../src/telemetry/observer.ts'
import type { WorkerOptions } from '../../src/worker/options.ts'
import { startWorker, type WorkerHandle } from '../../src/worker/worker.ts'
import { LEDGER_JOBS, startLedger, type Ledger } from './ledger.ts'
import { own } from './scope.ts'
import { waitFor } from './wait.ts'

const observer: WorkerObserver = {
  jobStarted: () => undefined,
  jobFinished: () => undefined,
  forked: () => undefined,
  recovered: () => undefined,
}

/** How a script reaches Redis: by itself, or behind the wait for a token. */
export type Way = 'call' | 'token'

/** A worker in this very process, whose calls to Redis a test can hold up. `said` are the messages of its log. */
export function startHere(
  url: string,
  namespace: string,
  more: Partial<Omit<WorkerOptions, 'engine'>> & {
    isolation: 'inline' | 'spawn'
    exchange?: (script: string, call: () => Promise<never>, way: Way) => Promise<never>
  },
): { worker: WorkerHandle; said: string[] } {
  const { isolation, exchange, ...rest } = more
  const inner = openStore({ url, namespace }, 'resqueue-worker')
  own('store', () => inner.close())
  const around = exchange ?? ((_script: string, call: () => Promise<never>) => call())
  const held = (store: Store): Store => ({
    ...store,
    exchange: (script, ...args) => around(script.name, () => store.exchange(script, ...args) as Promise<never>, 'call'),
    run: (script, ...args) => around(script.name, () => store.run(script, ...args) as Promise<never>, 'call'),
    waitThenRun: (wait, waitArgs, script, ...args) =>
      around(script.name, () => store.waitThenRun(wait, waitArgs, script, ...args) as Promise<never>, 'token'),
    open: (...args) => held(store.open(...args)),
  })
  const store = held(inner)
  const said: string[] = []
  const say = (_fields: object, message: string): number => said.push(message)
  const log: Logger = { ...silentLogger, info: say, warn: say, error: say, isLevelEnabled: () => true }
  const worker = startWorker(
    {
      queues: ['q'],
      concurrency: 1,
      intervalMs: 1000,
      blocking: true,
      burst: false,
      shutdownTimeoutMs: 25_000,
      maxRecoveries: 3,
      failFast: false,
      failureBackends: [{ kind: 'redis' }],
      engine: { jobs: LEDGER_JOBS, isolation, jobsPerChild: 1, killDelayMs: 500 },
      ...rest,
    },
    { store, log, observer },
  )
  worker.done.catch(() => undefined)
  own('worker', async () => {
    worker.signal('SIGTERM')
    worker.signal('SIGTERM')
    await worker.done.catch(() => undefined)
  })
  return { worker, said }
}

/** Until the worker waits on its token: no other turn is under way then. */
export async function waiting(redis: Redis): Promise<void> {
  await waitFor(async () => /name=resqueue-waiter .*cmd=blpop/.test(String(await redis.client('LIST'))))
}

/** A ledger for jobs that run in this process. */
export function ledgerHere(): Ledger {
  const ledger = startLedger()
  Object.assign(process.env, ledger.env)
  return ledger
}
