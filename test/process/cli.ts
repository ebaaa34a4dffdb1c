import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCli } from '../support/process.ts'

/** Compiled sources are kept between runs, which halves the time that a run takes. */
const CACHE = { NODE_COMPILE_CACHE: join(tmpdir(), 'resqueue-test-compile-cache') }

/** `runCli`, quicker. */
export function run(words: readonly string[], options: Parameters<typeof runCli>[1] = {}): ReturnType<typeof runCli> {
  return runCli(words, { ...options, env: { ...CACHE, ...options.env } })
}

/** What a run of the command line came to. */
export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** stdout as JSON. */
  readonly json: unknown
}

export type Cli = (...words: string[]) => Promise<Ran>

/** The command line in one namespace of one Redis. */
export function cliOf(redisUrl: string, namespace: string, input?: string | Uint8Array): Cli {
  return async (...words) => {
    const env = { REDIS_URL: redisUrl, PREFIX: namespace }
    const ran = await run(words, { env, ...(input === undefined ? {} : { input }) })
    return {
      ...ran,
      get json() {
        return JSON.parse(ran.stdout) as unknown
      },
    }
  }
}
