import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { freeze } from '../../support/proc.ts'
import { cleanEnv, guard } from '../../support/process.ts'

/** A program of the cluster. It is killed with the process that started it at the latest. */
export interface Part {
  readonly name: string
  /** Of the process that runs now, or of the last one. */
  readonly pid: number
  readonly running: boolean
  /** The last lines of what it wrote. */
  log(lines?: number): string
  /** Starts it again with the arguments it had, stopping it first where it runs. Does not wait until it serves. */
  start(): Promise<void>
  /** SIGTERM, and SIGKILL after 5 s. */
  stop(): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
  /** SIGSTOP, in force on return, and SIGCONT. */
  pause(): void
  resume(): void
}

export interface PartOptions {
  readonly name: string
  readonly file: string
  readonly args: readonly string[]
  /** Where its log goes: `<name>.log`. */
  readonly dir: string
  readonly env?: Readonly<Record<string, string>>
}

const KILL_AFTER_MS = 5000

/** Starts a program of the cluster. */
export async function startPart(options: PartOptions): Promise<Part> {
  const { name, file, args, dir } = options
  const logFile = join(dir, `${name}.log`)
  let child: ChildProcess | undefined
  let pid = 0
  let ended: Promise<void> = Promise.resolve()

  const launch = async (): Promise<void> => {
    const out = openSync(logFile, 'a')
    try {
      const started = spawn(file, args, { cwd: dir, env: cleanEnv(options.env), stdio: ['ignore', out, out] })
      child = started
      ended = new Promise((resolve) => {
        const gone = (): void => {
          if (child === started) child = undefined
          resolve()
        }
        started.once('exit', gone)
        started.once('error', gone)
      })
      if (started.pid === undefined) {
        await ended
        throw new Error(`${file} cannot be started`)
      }
      pid = started.pid
      guard(pid, ended)
    } finally {
      closeSync(out)
    }
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = child
    if (ending === undefined) return
    ending.kill('SIGCONT')
    ending.kill(signal)
    const timer = setTimeout(() => ending.kill('SIGKILL'), KILL_AFTER_MS)
    await ended
    clearTimeout(timer)
  }

  await launch()
  return {
    name,
    get pid() {
      return pid
    },
    get running() {
      return child !== undefined
    },
    log: (lines = 25) => readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n'),
    async start() {
      await end('SIGTERM')
      await launch()
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => {
      if (child) freeze(pid)
    },
    resume: () => void child?.kill('SIGCONT'),
  }
}
