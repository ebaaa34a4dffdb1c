import { constants } from 'node:os'
import type { ResQueue } from '../queue/client.ts'
import type { Lane } from '../queue/lane.ts'
import type { Store } from '../redis/store.ts'
import { ask } from './confirm.ts'
import { output as outputOption, yes } from './options.ts'
import { createOutput } from './output.ts'
import { createProgress } from './progress.ts'
import { redisConfig } from './redis.ts'
import type { Settings } from './resolve.ts'
import type { Context } from './verb.ts'

/** How a run that a signal ended is reported to the shell. */
export function codeOf(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal]
}

/** A context and what only its opener may do. Disposing of it closes what it opened. */
export interface OpenContext extends Context, AsyncDisposable {
  /** The exit code when Ctrl-C or TERM has ended the run. */
  readonly interrupted: number | undefined
}

export function openContext(settings: Settings, env: NodeJS.ProcessEnv): OpenContext {
  const config = redisConfig(settings)
  const stop = new AbortController()
  let interrupted: number | undefined
  const interrupt = (signal: NodeJS.Signals): void => {
    // Twice: now.
    if (stop.signal.aborted) process.exit(codeOf(signal))
    stop.abort(new Error('interrupted'))
    interrupted = codeOf(signal)
  }
  let client: Promise<ResQueue> | undefined
  let opened: Promise<Store> | undefined
  let lane: Promise<Lane> | undefined
  const store = (): Promise<Store> => {
    opened ??= import('../redis/store.ts').then(({ openStore }) => openStore(config, 'resqueue-cli'))
    return opened
  }
  return {
    operands: settings.operands,
    get: settings.get,
    given: settings.given,
    output: createOutput(settings.get(outputOption) === 'json', process.stdout, process.stderr),
    env,
    config,
    client() {
      client ??= import('../queue/client.ts').then(({ ResQueue: Client }) => {
        const { url, ...rest } = config
        return new Client({ redis: url, ...rest })
      })
      return client
    },
    store,
    lane() {
      lane ??= Promise.all([store(), import('../queue/lane.ts')]).then(([redis, { openLane }]) => openLane(redis))
      return lane
    },
    confirm: async (action) => settings.get(yes) || ask(action, stop.signal),
    progress: (what) => createProgress(what, process.stderr),
    get interrupted() {
      return interrupted
    },
    get signal() {
      // Only verbs that ask for the signal take Ctrl-C into their own hands.
      if (!process.listeners('SIGINT').includes(interrupt)) process.on('SIGINT', interrupt).on('SIGTERM', interrupt)
      return stop.signal
    },
    async [Symbol.asyncDispose]() {
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
      await (await client)?.close()
      ;(await opened)?.close()
    },
  }
}
