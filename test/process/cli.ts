import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCli } from '../support/process.ts'

/** Compiled sources are kept between runs, which halves the time that a run takes. */
const CACHE = { NODE_COMPILE_CACHE: join(tmpdir(), 'resqueue-test-compile-cache') }

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
export function cliOf(redisUrl: string, namespace: string, input?: string): Cli {
  return async (...words) => {
    const env = { ...CACHE, REDIS_URL: redisUrl, PREFIX: namespace }
    const ran = await runCli(words, { env, ...(input === undefined ? {} : { input }) })
    return {
      ...ran,
      get json() {
        return JSON.parse(ran.stdout) as unknown
      },
    }
  }
}
