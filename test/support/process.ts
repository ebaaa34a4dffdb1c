import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { freeze } from './proc.ts'
import { own } from './scope.ts'
import { latch, PATIENCE_MS, within } from './wait.ts'

/** The root of the checkout. */
export const ROOT: string = fileURLToPath(new URL('../../', import.meta.url))

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Line {
  readonly stream: 'stdout' | 'stderr'
  readonly text: string
}

export type LinePattern = string | RegExp | ((text: string) => boolean)

/** A child process under test. It is killed with the test at the latest. */
export interface TestProcess {
  readonly pid: number
  readonly stdin: Writable
  /** Everything it wrote, in the order in which it came. */
  readonly lines: readonly Line[]
  readonly stdout: string
  readonly stderr: string
  readonly running: boolean
  /** Resolves when it has ended and all its output was read. */
  readonly exit: Promise<Exit>
  /** The first line that matches, also among those already written; `from` skips lines (an index into `lines`). */
  waitForLine(
    pattern: LinePattern,
    options?: { timeoutMs?: number; stream?: Line['stream']; from?: number },
  ): Promise<string>
  /** `exit` with a deadline (default 10 s); the error shows the output. */
  waitForExit(timeoutMs?: number): Promise<Exit>
  signal(signal: NodeJS.Signals): void
  /** SIGSTOP, in force on return, and SIGCONT. */
  pause(): void
  resume(): void
  /** SIGTERM, then SIGKILL after `graceMs` (default 10 s). */
  stop(graceMs?: number): Promise<Exit>
  /** SIGKILL. */
  kill(): Promise<Exit>
}

export interface SpawnOptions {
  /**
   * Added to the environment of the tests, from which everything that configures ResQueue was taken. undefined removes.
   */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  /** Extra arguments for Node itself, before the script. */
  readonly nodeArgs?: readonly string[]
}

/** Runs a command. */
export function spawnCommand(command: string, args: readonly string[], options: SpawnOptions = {}): TestProcess {
  const child = spawn(command, args, {
    cwd: options.cwd ?? ROOT,
    env: cleanEnv(options.env),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  if (child.pid === undefined) throw new Error(`${command} cannot be started: is it installed?`)
  const handle = wrap(child, child.pid, `${command} ${args.join(' ')}`)
  guard(child.pid, handle.exit)
  own(`process ${handle.pid} (${command} ${args.join(' ')})`, () => handle.kill())
  return handle
}

/** Runs a script with the Node that runs the tests. */
export function spawnNode(args: readonly string[], options: SpawnOptions = {}): TestProcess {
  return spawnCommand(process.execPath, [...(options.nodeArgs ?? []), ...args], options)
}

/** Runs the command line from its sources: `spawnCli(['work', '--queues', 'a'])`. */
export function spawnCli(args: readonly string[], options: SpawnOptions = {}): TestProcess {
  return spawnNode([`${ROOT}src/bin.ts`, ...args], options)
}

/** Runs the command line to its end. */
export async function runCli(
  args: readonly string[],
  options: SpawnOptions & { input?: string | Uint8Array; timeoutMs?: number } = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawnCli(args, options)
  child.stdin.end(options.input ?? '')
  const { code } = await child.waitForExit(options.timeoutMs)
  return { code, stdout: child.stdout, stderr: child.stderr }
}

const CONFIGURING =
  /^(QUEUES?|INTERVAL|COUNT|BLOCKING|PREFIX|REDIS_.*|PIDFILE|V?VERBOSE|LOGGING|LOG_LEVEL|FORK_PER_JOB|RESQUE_.*|RESQUEUE_(?!TEST).*|PORT|POD_.*|NODE_OPTIONS|NODE_V8_COVERAGE|NODE_CHANNEL_.*|VITEST.*|FORCE_COLOR)$/

/** The environment of the tests without what configures ResQueue or belongs to the test runner, plus `extra`. */
export function cleanEnv(extra: SpawnOptions['env'] = {}): NodeJS.ProcessEnv {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !CONFIGURING.test(name)))
  for (const [name, value] of Object.entries({ NO_COLOR: '1', ...extra })) {
    if (value === undefined) delete env[name]
    else env[name] = value
  }
  return env
}

function wrap(child: ChildProcess, pid: number, title: string): TestProcess {
  const lines: Line[] = []
  const watchers = new Set<() => void>()
  const read = (stream: Line['stream'], from: Readable): Promise<void> =>
    new Promise((resolve) => {
      const reader = createInterface({ input: from, crlfDelay: Infinity })
      reader.on('line', (text) => {
        lines.push({ stream, text })
        for (const watcher of watchers) watcher()
      })
      reader.on('close', resolve)
    })
  const read1 = read('stdout', child.stdout as Readable)
  const read2 = read('stderr', child.stderr as Readable)
  let running = true
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      running = false
      resolve({ code, signal })
    })
  })
  // A grandchild may hold the pipes open for longer: do not wait for that for ever.
  const exit = exited.then(async (how) => {
    // Behind the timer, what the pipes hold already is still read.
    const late = new Promise((resolve) => setTimeout(() => setImmediate(() => setImmediate(resolve)), 1000).unref())
    await Promise.race([Promise.all([read1, read2]), late])
    for (const watcher of watchers) watcher()
    return how
  })
  exit.catch(() => undefined)
  child.stdin?.on('error', () => undefined)
  const textOf = (stream: Line['stream']): string =>
    lines
      .filter((line) => line.stream === stream)
      .map((line) => `${line.text}\n`)
      .join('')
  const report = (): string =>
    `${title}\n${lines.map((line) => `  ${line.stream === 'stderr' ? '!' : '|'} ${line.text}`).join('\n')}`
  const send = (signal: NodeJS.Signals): void => {
    if (running) child.kill(signal)
  }
  const handle: TestProcess = {
    pid,
    stdin: child.stdin as Writable,
    lines,
    get stdout() {
      return textOf('stdout')
    },
    get stderr() {
      return textOf('stderr')
    },
    get running() {
      return running
    },
    exit,
    async waitForLine(pattern, { timeoutMs = PATIENCE_MS, stream, from = 0 } = {}) {
      const matches = matcher(pattern)
      const found = latch<string>()
      let next = from
      const look = (): void => {
        for (; next < lines.length; next++) {
          const line = lines[next] as Line
          if ((!stream || line.stream === stream) && matches(line.text)) return found.open(line.text)
        }
      }
      watchers.add(look)
      look()
      const ended = exit.then((how) => {
        look()
        if (!found.opened)
          found.fail(new Error(`It ended (${how.signal ?? how.code}) without the line ${String(pattern)}: ${report()}`))
      })
      ended.catch((error: unknown) => found.fail(error))
      try {
        return await within(timeoutMs, found.promise, () => `the line ${String(pattern)} of ${report()}`)
      } finally {
        watchers.delete(look)
      }
    },
    waitForExit: (timeoutMs = PATIENCE_MS) => within(timeoutMs, exit, () => `the end of ${report()}`),
    signal: send,
    pause: () => {
      if (running) freeze(pid)
    },
    resume: () => send('SIGCONT'),
    async stop(graceMs = 10_000) {
      send('SIGCONT')
      send('SIGTERM')
      const timer = setTimeout(() => send('SIGKILL'), graceMs)
      try {
        return await exit
      } finally {
        clearTimeout(timer)
      }
    },
    async kill() {
      send('SIGKILL')
      return exit
    },
  }
  return handle
}

function matcher(pattern: LinePattern): (text: string) => boolean {
  if (typeof pattern === 'function') return pattern
  if (typeof pattern === 'string') return (text) => text.includes(pattern)
  return (text) => pattern.test(text)
}

let guardian: ChildProcess | undefined

/**
 * Sees to it that `pid` dies with this process, however this one ends: a small process of its own session reads a pipe
 * from us, and kills what is still noted when the pipe closes.
 */
export function guard(pid: number, ended: Promise<unknown>): void {
  if (guardian === undefined) {
    const program =
      '/^\\+/{a[substr($0,2)]=1} /^-/{delete a[substr($0,2)]} END{for(p in a) system("kill -9 " p " 2>/dev/null")}'
    guardian = spawn('awk', [program], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      env: { PATH: process.env['PATH'] ?? '' },
    })
    guardian.once('error', () => undefined)
    guardian.stdin?.on('error', () => undefined)
    guardian.unref()
    ;(guardian.stdin as Writable & { unref?: () => void }).unref?.()
  }
  const note = (line: string): void => void guardian?.stdin?.write(`${line}\n`)
  note(`+${pid}`)
  const forget = (): void => note(`-${pid}`)
  ended.then(forget, forget)
}
