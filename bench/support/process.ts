import { spawn, type ChildProcess, type Serializable } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { readOutput } from './output.ts'

/** A system that does not answer must not hang the benchmark. */
const PATIENCE_MS = 120_000

/** A process of the benchmark. It is ended by its pid, together with what it started. */
export interface Proc extends AsyncDisposable {
  readonly pid: number
  /** Sends one call and waits for its answer (peers only). */
  call<T>(verb: string, ...args: Serializable[]): Promise<T>
  /** The job with this mark was performed. Rejects when the process ends before. */
  mark(name: string): Promise<Mark>
  /** The first line on stdout or stderr that matches. */
  line(pattern: RegExp): Promise<RegExpExecArray>
  kill(signal: NodeJS.Signals): Promise<void>
}

export interface Mark {
  /** Nanoseconds. */
  readonly at: bigint
  /** CPU that the process had used by then, microseconds. */
  readonly cpu: number
}

/** What a process of the benchmark says: that it is ready, that a mark was reached, or how a call ended. */
interface Message {
  readonly ready?: true
  readonly mark?: string
  readonly at?: string
  readonly cpu?: number
  readonly call?: number
  readonly result?: unknown
  readonly error?: string
}

/** What runs now, ended with the benchmark however it ends. */
const live = new Set<number>()
process.on('exit', () => live.forEach(endGroup))

/** Starts a program of Node's with a channel for marks and calls. */
export function startNode(args: readonly string[], env: Readonly<Record<string, string>> = {}): Proc {
  const stdio = ['ignore', 'pipe', 'pipe', 'ipc'] as const
  const child = spawn(process.execPath, args, { env: { ...inherited(), ...env }, stdio: [...stdio], detached: true })
  const pid = pidOf(child)
  live.add(pid)
  const output = readOutput(child)
  const ready = awaited<true>()
  const marks = new Map<string, PromiseWithResolvers<Mark>>()
  const calls = new Map<number, PromiseWithResolvers<unknown>>()
  let next = 0

  const markOf = (name: string): PromiseWithResolvers<Mark> => {
    const mark = marks.get(name) ?? awaited<Mark>()
    marks.set(name, mark)
    return mark
  }
  child.on('message', (message: Message) => {
    if (message.ready) ready.resolve(true)
    if (message.mark !== undefined) markOf(message.mark).resolve({ at: BigInt(message.at ?? 0), cpu: message.cpu ?? 0 })
    if (message.call === undefined) return
    const answer = calls.get(message.call)
    calls.delete(message.call)
    if (message.error === undefined) answer?.resolve(message.result)
    else answer?.reject(new Error(`${args[0]}: ${message.error}`))
  })
  const exited = once(child, 'exit').then(([code, signal]) => {
    endGroup(pid) // what it started
    live.delete(pid)
    const error = new Error(`${args.join(' ')} ended (${String(code ?? signal)}):\n${output.tail()}`)
    for (const waiting of [ready, ...marks.values(), ...calls.values()]) waiting.reject(error)
    output.fail(error)
  })

  return {
    pid,
    call: async <T>(verb: string, ...rest: Serializable[]) => {
      await ready.promise
      const answer = awaited<unknown>()
      calls.set(next, answer)
      child.send({ call: next++, verb, args: rest })
      return within(answer.promise, `${args[0]}: ${verb}`) as Promise<T>
    },
    mark: (name) => within(markOf(name).promise, `${args[0]}: mark ${name}`),
    line: (pattern) => within(output.line(pattern), `${args[0]}: ${pattern}`),
    kill: async (signal) => {
      child.kill(signal)
      await exited
    },
    async [Symbol.asyncDispose]() {
      endGroup(pid)
      await exited
    },
  }
}

/** A promise that may be rejected before anybody waits for it. */
function awaited<T>(): PromiseWithResolvers<T> {
  const resolvers = Promise.withResolvers<T>()
  resolvers.promise.catch(() => undefined)
  return resolvers
}

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  const timer = new AbortController()
  const late = sleep(PATIENCE_MS, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${what} did not come within ${PATIENCE_MS / 1000} s`)
  })
  late.catch(() => undefined)
  try {
    return await Promise.race([promise, late])
  } finally {
    timer.abort()
  }
}

/** Nothing else of the environment: variables such as QUEUE or NODE_EXTRA_CA_CERTS change what is measured. */
function inherited(): Record<string, string> {
  const entries = ['PATH', 'HOME', 'TMPDIR', 'TZ'].map((name) => [name, process.env[name]] as const)
  return Object.fromEntries(entries.filter((entry): entry is readonly [string, string] => entry[1] !== undefined))
}

/** Every process of ours leads a group. */
function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // All gone.
  }
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('a process could not be started')
  return child.pid
}
