import { spawn, type ChildProcess } from 'node:child_process'
import { Socket } from 'node:net'
import { constants } from 'node:os'
import { ResQueueError } from '../errors.ts'
import type { Addon } from './addon.ts'
import type { EngineOptions } from './engine.ts'
import { commandLine } from './entry.ts'
import { FRAME, frameReader } from './frames.ts'
import type { ProcessEnd } from './jobprocess.ts'
import { lineSplitter } from './lines.ts'
import { endedLoading, refusal, type Loaded } from './loading.ts'

const OP = { fork: 1, kill: 2, ping: 3, quit: 4 } as const
/** V8 helper threads would be missing in children; SIGUSR1 must not open an inspector in them. */
const FLAGS = [
  '--single-threaded',
  '--v8-pool-size=0',
  '--disable-sigusr1',
  '--expose-gc',
  '--no-flush-bytecode',
  '--no-wasm-code-gc',
]
const QUIT_MS = 2000

/** Some have two names; that by which Node itself calls them comes first (SIGABRT, then SIGIOT). */
const signalNames = new Map(
  Object.entries(constants.signals)
    .map(([name, number]) => [number, name as NodeJS.Signals] as const)
    .reverse(),
)

/** What a zygote tells of its children. Seat and generation are the worker's own numbers. */
export interface ZygoteNews {
  forked(seat: number, generation: number, pid: number, seconds: number): void
  notForked(seat: number, generation: number, reason: string): void
  /** `strays`: how many processes are left of jobs that are over, outside of their groups. */
  ended(seat: number, generation: number, end: ProcessEnd, begun: boolean, strays: number): void
  pong(seat: number, generation: number, begun: boolean): void
  /** The zygote is gone, and its children with it. Not told after `quit`. */
  died(reason: string): void
}

/** A running zygote, as the worker sees it. */
export interface Zygote {
  readonly loaded: Loaded
  fork(seat: number, generation: number, fds: readonly [number, number, number]): void
  kill(seat: number, generation: number, signal: number): void
  ping(seat: number, generation: number): void
  /** Ends it and all its children. Resolves when it is gone. */
  quit(): Promise<void>
  /** Ends it when it no longer answers: reported as `died`. */
  destroy(): void
}

/** `wait` status → code or signal. */
function endFrom(pid: number, status: number, peakMemoryBytes: number): ProcessEnd {
  const signal = status & 0x7f
  return signal === 0
    ? { pid, peakMemoryBytes, code: (status >> 8) & 0xff }
    : { pid, peakMemoryBytes, signal: signalNames.get(signal) ?? 'SIGKILL' }
}

/**
 * Starts a zygote and resolves once job code is loaded in it. Fails with `JOBS` or `CONFIG` when it is not, with
 * `UNAVAILABLE` when the zygote cannot be made.
 */
export function startZygote(addon: Addon, options: EngineOptions, news: ZygoteNews): Promise<Zygote> {
  const [controlFd, childControl] = addon.socketpair()
  // Its own session: a terminal's Ctrl-C is for the worker, which then ends its jobs in its own way.
  let child: ChildProcess
  try {
    child = spawn(process.execPath, commandLine('zygote', FLAGS, options), {
      stdio: ['ignore', 'pipe', 'pipe', childControl],
      detached: true,
    })
  } catch (error) {
    addon.close(controlFd)
    throw error
  } finally {
    addon.close(childControl)
  }
  const control = new Socket({ fd: controlFd, readable: true, writable: true })
  const stdout = lineSplitter((line) => options.events.notice('info', `while loading jobs: ${line}`))
  const stderr = lineSplitter((line) => options.events.notice('warn', `while loading jobs: ${line}`))
  child.stdout?.on('data', (chunk) => stdout.push(chunk as Buffer))
  child.stderr?.on('data', (chunk) => stderr.push(chunk as Buffer))

  let quitting = false
  let ready = false
  const loaded = Promise.withResolvers<Zygote>()
  const gone = Promise.withResolvers<void>()
  const queue: { request: Buffer; fds: readonly [number, number, number] | undefined }[] = []

  const flush = (): void => {
    for (let next = queue[0]; next; next = queue[0]) {
      const result = control.destroyed ? 0 : addon.ask(controlFd, next.request, next.fds)
      // Full: a zygote that is far behind. Whatever it reports next shows that it reads again.
      if (result === -constants.errno.EAGAIN) return void setTimeout(flush, 5)
      queue.shift()
    }
  }
  const ask = (
    op: number,
    seat: number,
    generation: number,
    argument: number,
    fds?: readonly [number, number, number],
  ): void => {
    const request = Buffer.allocUnsafe(16)
    request.writeUInt32LE(op, 0)
    request.writeUInt32LE(seat, 4)
    request.writeUInt32LE(generation, 8)
    request.writeUInt32LE(argument, 12)
    queue.push({ request, fds })
    if (queue.length === 1) flush()
  }

  const zygoteWith = (code: Loaded): Zygote => ({
    loaded: code,
    fork: (seat, generation, fds) => ask(OP.fork, seat, generation, 0, fds),
    kill: (seat, generation, signal) => ask(OP.kill, seat, generation, signal),
    ping: (seat, generation) => ask(OP.ping, seat, generation, 0),
    async quit() {
      quitting = true
      ask(OP.quit, 0, 0, 0)
      const timer = setTimeout(() => child.kill('SIGKILL'), QUIT_MS)
      await gone.promise
      clearTimeout(timer)
    },
    destroy: () => void child.kill('SIGKILL'),
  })

  const reader = frameReader((type, body) => {
    if (type === FRAME.loaded) {
      ready = true
      loaded.resolve(zygoteWith(JSON.parse(body.toString()) as Loaded))
    } else if (type === FRAME.refused) {
      quitting = true
      loaded.reject(refusal(body))
    } else if (type === FRAME.garbled) {
      // Code of a module that loads wrote to its zygote's channel.
      child.kill('SIGKILL')
    } else {
      const seat = body.readUInt32LE(0)
      const generation = body.readUInt32LE(4)
      const pid = body.readInt32LE(8)
      const value = body.readInt32LE(12)
      const begun = body.readUInt32LE(16) !== 0
      if (type === FRAME.pong) return news.pong(seat, generation, begun)
      if (type === FRAME.ended) {
        const end = endFrom(pid, value, Number(body.readBigUInt64LE(20)))
        return news.ended(seat, generation, end, begun, Number(body.readBigUInt64LE(28)))
      }
      if (value === 0) return news.forked(seat, generation, pid, Number(body.readBigUInt64LE(28)) / 1e9)
      const name = Object.entries(constants.errno).find(([, number]) => number === value)?.[0] ?? String(value)
      news.notForked(seat, generation, `fork: ${name}`)
    }
  })
  control.on('data', (chunk) => reader.push(chunk as Buffer))
  // A zygote that is gone breaks its channel, too: its exit tells.
  control.on('error', () => control.destroy())
  child.on('error', (error) => {
    control.destroy()
    loaded.reject(new ResQueueError('UNAVAILABLE', `the zygote cannot be started: ${error.message}`, { cause: error }))
  })
  child.on('exit', (code, signal) => {
    const last = control.destroyed ? undefined : addon.drain(controlFd)
    if (last) reader.push(last)
    control.destroy()
    const how = signal ?? `code ${code}`
    if (!ready && !quitting) loaded.reject(endedLoading(options.jobs, how, stderr.tail()))
    else if (!quitting) news.died(`the zygote ended with ${how}`)
    stdout.flush()
    stderr.flush()
    gone.resolve()
  })
  return loaded.promise
}
