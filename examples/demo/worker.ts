import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, openSync, closeSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT } from './material.ts'
import type { Place } from './place.ts'

export const SLOTS = 4
const START_MS = 30_000

/** A `resqueue work` as anyone would start it. */
export interface DemoWorker extends AsyncDisposable {
  readonly pid: number
  /** Of its health and metrics. */
  readonly port: number
  readonly isolation: string
  readonly running: boolean
  /** kill -9. */
  kill(): Promise<void>
  /** TERM: it finishes what it runs. */
  stop(): Promise<void>
  /** The last lines of its log, for when something went wrong. */
  tail(): string
}

/** Starts a worker with four slots and resolves when it has registered. */
export async function startWorker({ folder, url, namespace }: Place, name: string): Promise<DemoWorker> {
  const bin = join(ROOT, 'dist', 'bin.js')
  if (!existsSync(bin)) throw new Error('dist/bin.js is missing; "make demo" builds it')
  const file = join(folder, `${name}.log`)
  const log = openSync(file, 'a')
  // The URL may hold a password: command lines can be read by all.
  const env = { ...process.env, DEMO_FOLDER: folder, REDIS_URL: url, PREFIX: namespace, LOG_LEVEL: 'info' }
  const flags = ['--queues', 'critical,*', '--jobs', join(import.meta.dirname, 'jobs'), '--concurrency', `${SLOTS}`]
  const limits = ['--job-memory', '160', '--kill-delay', '1', '--shutdown-timeout', '5', '--port', '0']
  const child = spawn(process.execPath, [bin, 'work', ...flags, ...limits], {
    env,
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  const ended = once(child, 'exit')
  const lines = (): string[] => readFileSync(file, 'utf8').trimEnd().split('\n')
  const worker = await registered(child, lines)
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    await ended
  }
  return {
    ...worker,
    get running() {
      return child.exitCode === null && child.signalCode === null
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    tail: () => lines().slice(-8).join('\n'),
    [Symbol.asyncDispose]: () => end('SIGTERM'),
  }
}

/** What the worker says of itself in its log. */
async function registered(child: ChildProcess, lines: () => string[]) {
  for (let waited = 0; waited < START_MS; waited += 20) {
    const said = lines().flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []))
    const port = said.find((line) => typeof line['port'] === 'number')
    const started = said.find((line) => line['msg'] === 'worker started')
    if (port && started)
      return { pid: child.pid as number, port: port['port'] as number, isolation: String(started['isolation']) }
    if (child.exitCode !== null || child.signalCode !== null) break
    await sleep(20)
  }
  child.kill('SIGKILL')
  throw new Error(`The worker did not start:\n${lines().slice(-8).join('\n')}`)
}
