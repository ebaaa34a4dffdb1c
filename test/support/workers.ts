import { LEDGER_HOOKS, LEDGER_JOBS, type Ledger } from './ledger.ts'
import { descendants, type ProcessInfo } from './proc.ts'
import { spawnCli, type Exit, type TestProcess } from './process.ts'
import { PATIENCE_MS, waitFor } from './wait.ts'

export interface WorkerSetup {
  readonly redis: string
  readonly ns: string
  readonly ledger: Ledger
  readonly queues?: string
  readonly isolation?: 'fork' | 'spawn' | 'inline' | 'auto'
  readonly concurrency?: number
  /** More flags, or others in place of the ones above. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** One line of the worker's log. */
export interface Entry {
  readonly msg: string
  readonly [field: string]: unknown
}

/** A real worker: the command line in a process of its own. */
export interface Worker {
  readonly process: TestProcess
  readonly pid: number
  /** Of its endpoints. */
  readonly port: number
  /** The process's name in Redis; another one after it was fenced. */
  readonly nonce: string
  readonly log: readonly Entry[]
  /** Waits for a log line whose message contains the words; the `count`th. */
  says(words: string, options?: { timeoutMs?: number; count?: number }): Promise<Entry>
  /** GET on one of its endpoints: status and body. */
  get(path: string): Promise<{ status: number; body: string }>
  /** Processes below it: zygote and jobs. */
  family(): readonly ProcessInfo[]
  /** TERM and its exit. */
  stop(timeoutMs?: number): Promise<Exit>
}

/** Starts `resqueue work` with the jobs and hooks of the ledger, without waiting for it. */
export function launchWorker(setup: WorkerSetup): Worker {
  const { redis, ns, ledger, queues = 'q', isolation = 'inline', concurrency = 1, args = [], env = {} } = setup
  const flags = [
    '--redis',
    redis,
    '--namespace',
    ns,
    '--queues',
    queues,
    '--isolation',
    isolation,
    '--concurrency',
    `${concurrency}`,
  ]
  const fixed = ['--port', '0', '--jobs', LEDGER_JOBS, '--hooks', LEDGER_HOOKS]
  const process = spawnCli(['work', ...flags, ...fixed, ...args], { env: { ...ledger.env, ...env } })
  const log = (): Entry[] => process.lines.flatMap(({ stream, text }) => (stream === 'stdout' ? entryOf(text) : []))
  const port = (): number => {
    const value = log().find((entry) => entry.msg.includes('health and metrics'))?.['port']
    if (typeof value !== 'number') throw new Error(`The worker named no port: ${process.stdout}${process.stderr}`)
    return value
  }
  return {
    process,
    pid: process.pid,
    get port() {
      return port()
    },
    get nonce() {
      return log().findLast(({ msg }) => msg === 'worker started' || msg === 'registered again')?.['process'] as string
    },
    get log() {
      return log()
    },
    says: (words, { timeoutMs = PATIENCE_MS, count = 1 } = {}) =>
      waitFor(() => log().filter(({ msg }) => msg.includes(words))[count - 1], {
        timeoutMs,
        describe: () =>
          `"${words}" (${count}) in the log of worker ${process.pid}: ${process.stdout.slice(-3000)}${process.stderr.slice(-2000)}`,
      }),
    async get(path) {
      const response = await fetch(`http://127.0.0.1:${port()}${path}`)
      return { status: response.status, body: await response.text() }
    },
    family: () => descendants(process.pid),
    async stop(timeoutMs = PATIENCE_MS) {
      process.signal('SIGTERM')
      return process.waitForExit(timeoutMs)
    },
  }
}

/** Nothing for a line that is none of the log's: Node's own, or one with a line separator in it. */
function entryOf(line: string): Entry[] {
  try {
    return [JSON.parse(line) as Entry]
  } catch {
    return []
  }
}

/** Starts a worker and resolves when it is registered and takes jobs. */
export async function startWorkerProcess(setup: WorkerSetup): Promise<Worker> {
  const worker = launchWorker(setup)
  await worker.process.waitForLine('"worker started"')
  return worker
}
