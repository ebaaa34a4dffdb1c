import { spawn, type ChildProcess } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { defined } from '../defined.ts'
import { messageOf, ResQueueError } from '../errors.ts'
import type { EngineOptions } from './engine.ts'
import { commandLine } from './entry.ts'
import { FRAME, frameReader } from './frames.ts'
import { signalGroup, type JobProcess, type ProcessEnd, type ProcessListener } from './jobprocess.ts'
import { lineSplitter } from './lines.ts'
import { endedLoading, refusal, type Loaded } from './loading.ts'

/** How long output may still come after the process's end, when something it started holds the pipes. */
const LINGER_MS = 200

/** What a machine has too little of for the moment: descriptors, processes, memory. */
const SCARCE: ReadonlySet<unknown> = new Set(['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM'])

/** A fresh Node process that loads job code and then waits for a job. */
export interface SpawnedProcess extends JobProcess {
  /**
   * Rejects with `JOBS` or `CONFIG` when code does not load, with `UNAVAILABLE` when it could not be made, or when the
   * process ends first.
   */
  readonly ready: Promise<Loaded>
  readonly gone: Promise<void>
  alive(): boolean
  /** Jobs it has taken. */
  jobs(): number
}

/** Why there is no process: `UNAVAILABLE` where there may be one later. */
function notStarted(cause: unknown): Error {
  const what = `a job process cannot be started: ${messageOf(cause)}`
  if (!SCARCE.has((cause as { code?: unknown }).code)) return new Error(what, { cause })
  const remedy = 'raise the limit of open files (ulimit -n), processes or memory, or lower --concurrency.'
  return new ResQueueError('UNAVAILABLE', `${what}: ${remedy}`, { cause })
}

function start(options: EngineOptions): { child: ChildProcess; channel: Duplex } {
  let child: ChildProcess
  try {
    child = spawn(process.execPath, commandLine('spawned', [], options), {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      // A group of its own on POSIX, so that what a job starts can be ended with it.
      detached: process.platform !== 'win32',
    })
  } catch (error) {
    throw notStarted(error)
  }
  // Out of descriptors, Node leaves the process without streams, and tells of it later.
  const channel = (child.stdio as ChildProcess['stdio'] | undefined)?.[3] as Duplex | undefined
  if (channel) return { child, channel }
  child.once('error', () => {})
  throw notStarted(Object.assign(new Error('no descriptors are left'), { code: 'EMFILE' }))
}

/** Boots a process. Throws `UNAVAILABLE` where the machine has too little left for one. */
export function spawnProcess(options: EngineOptions): SpawnedProcess {
  const from = performance.now()
  const { child, channel } = start(options)
  let listener: ProcessListener | undefined
  let taken = 0
  let hasBegun = false
  let exit: ProcessEnd | undefined
  const stdout = lineSplitter((line) => (listener ? listener.line('stdout', line) : early('info', line)))
  const stderr = lineSplitter((line) => (listener ? listener.line('stderr', line) : early('warn', line)))
  const early = (level: 'info' | 'warn', line: string): void =>
    options.events.notice(level, `outside of a job: ${line}`)
  child.stdout?.on('data', (chunk) => stdout.push(chunk as Buffer))
  child.stderr?.on('data', (chunk) => stderr.push(chunk as Buffer))
  // A write to a process that has just ended: its exit tells the rest.
  channel.on('error', () => {})

  const kill = (signal: NodeJS.Signals): void => {
    if (exit) return
    if (process.platform === 'win32') child.kill(signal)
    else signalGroup(child.pid, signal)
  }

  const ready = Promise.withResolvers<Loaded>()
  const gone = Promise.withResolvers<void>()
  let isReady = false

  const reader = frameReader((type, body) => {
    if (type === FRAME.loaded && !isReady) {
      isReady = true
      options.events.forked('spawn', (performance.now() - from) / 1000)
      ready.resolve(new Promise((read) => read(JSON.parse(body.toString()) as Loaded)))
    } else if (type === FRAME.refused && !isReady) ready.reject(refusal(body))
    else if (type === FRAME.begun) hasBegun = true
    else if (listener) listener.frame(type, body)
    // Code of a job that is over, or of a module that loads: nothing that this process says can be read any more.
    else if (type === FRAME.garbled) kill('SIGKILL')
  })
  channel.on('data', (chunk) => reader.push(chunk as Buffer))

  const over = (end: ProcessEnd): void => {
    if (exit) return
    exit = end
    const how = end.lost ?? end.signal ?? `code ${end.code}`
    const close = (): void => {
      clearTimeout(timer)
      child.removeListener('close', close)
      ready.reject(endedLoading(options.jobs, how, stderr.tail()))
      // It left as if all were well, half a frame behind: of its report, or of what its code wrote into it.
      if (end.code === 0 && reader.pending()) listener?.frame(FRAME.garbled, Buffer.from('half a frame'))
      listener?.ended(end)
      stdout.flush()
      stderr.flush()
      listener = undefined
      for (const stream of [child.stdout, child.stderr, channel]) stream?.destroy()
      gone.resolve()
    }
    const timer = setTimeout(close, LINGER_MS)
    child.once('close', close)
  }
  child.once('error', (error) => {
    const reason = notStarted(error)
    ready.reject(reason)
    over({ lost: reason.message })
  })
  child.once('exit', (code, signal) => {
    // The group's number may be taken by others only once all its members are gone: those that are left go now.
    signalGroup(child.pid, 'SIGKILL')
    over({ ...defined({ pid: child.pid }), ...(signal ? { signal } : { code: code ?? 0 }) })
  })

  return {
    ready: ready.promise,
    gone: gone.promise,
    alive: () => exit === undefined,
    jobs: () => taken,
    assign(data, told) {
      listener = told
      taken += 1
      hasBegun = false
      if (child.pid !== undefined) told.started(child.pid)
      channel.write(data)
    },
    async release() {
      // Two turns: what was written before the last frame is readable by then.
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
      const tail = stderr.tail()
      stdout.flush()
      stderr.flush()
      listener = undefined
      return tail
    },
    kill,
    begun: () => hasBegun,
    stderr: () => stderr.tail(),
    pid: () => child.pid,
  }
}
