import { spawn, type ChildProcess, type Serializable } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

const PATIENCE_MS = 120_000
/** What runs now, ended with the benchmark however it ends. */
const live = new Set<number>()
process.on('exit', () => live.forEach(endGroup))

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

interface Message {
  readonly mark?: string
  readonly at?: string
  readonly cpu?: number
  readonly ready?: true
  readonly call?: number
  readonly result?: unknown
  readonly error?: string
}

/** Starts a program of Node's with a channel for marks and calls. */
export function startNode(args: readonly string[], env: Record<string, string> = {}): Proc {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true,
  })
  live.add(pidOf(child))
  const marks = new Map<string, PromiseWithResolvers<Mark>>()
  const calls = new Map<number, PromiseWithResolvers<unknown>>()
  const ready = Promise.withResolvers<void>()
  const patterns = new Set<{ pattern: RegExp; found: PromiseWithResolvers<RegExpExecArray> }>()
  let lines: string[] = []
  let next = 0

  const markOf = (name: string): PromiseWithResolvers<Mark> => {
    const known = marks.get(name) ?? Promise.withResolvers<Mark>()
    marks.set(name, known)
    known.promise.catch(() => undefined)
    return known
  }
  child.on('message', (message: Message) => {
    if (message.ready) ready.resolve()
    if (message.mark !== undefined) markOf(message.mark).resolve({ at: BigInt(message.at ?? 0), cpu: message.cpu ?? 0 })
    if (message.call === undefined) return
    const answer = calls.get(message.call)
    calls.delete(message.call)
    if (message.error === undefined) answer?.resolve(message.result)
    else answer?.reject(new Error(`${args[0]}: ${message.error}`))
  })
  const heard = (chunk: Buffer): void => {
    const text = chunk.toString()
    lines = [...lines, ...text.split('\n')].slice(-30)
    for (const waiting of patterns) {
      const match = lines.map((line) => waiting.pattern.exec(line)).find(Boolean)
      if (!match) continue
      patterns.delete(waiting)
      waiting.found.resolve(match)
    }
  }
  child.stdout?.on('data', heard)
  child.stderr?.on('data', heard)
  const exited = once(child, 'exit').then(([code, signal]) => {
    endGroup(pidOf(child)) // what it started
    live.delete(pidOf(child))
    const error = new Error(`${args.join(' ')} ended (${String(code ?? signal)}):\n${lines.join('\n')}`)
    ready.reject(error)
    for (const waiting of [...marks.values(), ...calls.values(), ...[...patterns].map((one) => one.found)])
      waiting.reject(error)
  })
  ready.promise.catch(() => undefined)

  return {
    pid: pidOf(child),
    call: async <T>(verb: string, ...rest: Serializable[]) => {
      await ready.promise
      const answer = Promise.withResolvers<unknown>()
      calls.set(next, answer)
      child.send({ call: next++, verb, args: rest })
      return answer.promise as Promise<T>
    },
    mark: (name) => within(markOf(name).promise, `${args.join(' ')}: mark ${name}`),
    line: (pattern) => {
      const found = Promise.withResolvers<RegExpExecArray>()
      patterns.add({ pattern, found })
      heard(Buffer.alloc(0))
      return found.promise
    },
    kill: async (signal) => {
      child.kill(signal)
      await exited
    },
    async [Symbol.asyncDispose]() {
      endGroup(pidOf(child))
      await exited
    },
  }
}

/** A system that hangs must not hang the benchmark. */
async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  const timer = new AbortController()
  const late = sleep(PATIENCE_MS, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${what} did not come within ${PATIENCE_MS / 1000} s`)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    timer.abort()
    late.catch(() => undefined)
  }
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
