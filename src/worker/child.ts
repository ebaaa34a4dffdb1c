import { noHooks, type ChildHooks } from './childhooks.ts'
import { provideCurrentJob, type JobContext, type JobLog } from './currentjob.ts'
import { whenNothingIsLeft, whenToldToStop } from './exithooks.ts'
import { assignmentFrame, FRAME, frame, frameReader, readAssignment, reportFrame } from './frames.ts'
import { jobError } from './joberror.ts'
import type { JobRegistry } from './jobs.ts'
import { logFields, logMessage } from './logfields.ts'
import { performJob } from './perform.ts'

/** What a job process stands on: a forked or a spawned one. */
export interface ChildHost {
  readonly registry: JobRegistry
  readonly hooks: ChildHooks
  /** `resque-<version>`: the promised part of process titles. */
  readonly title: string
  /** Jobs until the process leaves; 0 = no limit. */
  readonly jobsPerChild: number
  /** Whether a `begun` frame is wanted for each job. */
  readonly announces: boolean
  /** The most memory that the process held so far, in bytes. */
  peak(): number
  send(data: Buffer): void
  /** Ends the process once everything sent has gone out. */
  leave(code: number): void
  /** Called when the process can take another job. */
  idle(): void
  /** Called when job code begins: what the process listens to must not keep it alive any more. */
  busy(): void
}

/** One job process's conduct. `take` handles one frame from the worker. */
export interface Child {
  take(type: number, body: string): void
  /**
   * Performs jobs that do nothing, for V8 to compile the way there. The host must do nothing meanwhile when it is told
   * to send or to leave.
   */
  rehearse(rounds: number): Promise<void>
}

const REHEARSAL: JobRegistry = {
  jobs: new Map([
    ['well', { kind: 'handler', file: '', policy: { name: 'well' }, handler: () => true }],
    [
      'badly',
      {
        kind: 'class',
        file: '',
        policy: { name: 'badly' },
        type: class {
          setUp(): void {}
          perform(): void {
            throw new Error('rehearsal')
          }
        },
      },
    ],
  ]),
  withoutPerform: new Set(),
}

const NEVER_SETTLED =
  'The job never ended: its promise is still pending, and nothing is left in the process that could settle it.'

/**
 * Makes the process, in which `hookExit` was called, perform jobs that `take` is given, report how they end, and leave
 * after its last one.
 */
export function createChild(host: ChildHost): Child {
  let done = 0
  let current: JobContext | undefined
  let running = false
  let registry = host.registry
  let hooks = host.hooks
  let rehearsed: (() => void) | undefined

  const peak = (): Buffer => frame(FRAME.peak, String(host.peak()))

  const report = (data: Buffer): void => {
    running = false
    current = undefined
    host.send(data)
    done += 1
    if (host.jobsPerChild !== 0 && done >= host.jobsPerChild) host.leave(0)
    else host.idle()
    rehearsed?.()
  }

  const fail = (thrown: unknown): void => {
    running = false
    host.send(Buffer.concat([peak(), frame(FRAME.failed, JSON.stringify(jobError(thrown)))]))
    host.leave(1)
  }

  process.on('uncaughtException', (error) => {
    // Job code that listens itself has decided for itself.
    if (process.listenerCount('uncaughtException') > 1) return
    if (running) return fail(error)
    process.stderr.write(`${process.getBuiltinModule('node:util').inspect(error)}\n`)
    host.leave(1)
  })
  whenNothingIsLeft((code) => {
    if (running && code === 0) fail(new Error(NEVER_SETTLED))
    else host.leave(code)
  })

  whenToldToStop((signal) => running && host.send(frame(FRAME.told, signal)))

  const log: JobLog = {
    debug: (message, fields) => line('debug', message, fields),
    info: (message, fields) => line('info', message, fields),
    warn: (message, fields) => line('warn', message, fields),
    error: (message, fields) => line('error', message, fields),
  }
  function line(level: keyof JobLog, message: string, fields: Record<string, unknown> | undefined): void {
    host.send(frame(FRAME.log, `["${level}",${JSON.stringify(logMessage(message))},${logFields(fields)}]`))
  }

  provideCurrentJob(() => current)
  let stop: StopSignal | undefined

  const begin = (body: string): void => {
    const assignment = readAssignment(body)
    if (host.announces) host.send(frame(FRAME.begun))
    host.busy()
    process.title = `${host.title}: Processing ${assignment.queue} since ${new Date().toISOString()}`
    running = true
    const performed = performJob(assignment, {
      registry,
      hooks,
      log: () => log,
      signal: () => (stop ??= stopSignal(() => host.send(frame(FRAME.heard)))).signal,
      fresh: done === 0,
      within: (context, work) => {
        current = context
        return work()
      },
    })
    // A report that is there at once waits for what the job put into the queue of microtasks.
    void Promise.resolve(performed).then((result) => {
      stop?.release()
      stop = undefined
      // An uncaught exception has already ended this run.
      if (running) report(Buffer.concat([peak(), reportFrame(result)]))
    })
  }

  return {
    take(type, body) {
      if (type === FRAME.job) begin(body)
      else if (type === FRAME.test) void selfTest().then((answer) => report(frame(FRAME.tested, answer)))
    },
    async rehearse(rounds) {
      const { title } = process
      registry = REHEARSAL
      hooks = noHooks // what a listener opened here would be shared by every child
      for (const name of Array.from({ length: rounds }, (_, i) => (i % 2 === 0 ? 'well' : 'badly'))) {
        const payload = `{"class":"${name}","args":[{"a":1}]}`
        const [type, body] = unframe(assignmentFrame({ id: '1', queue: 'q', class: name, attempt: 1, payload }))
        await new Promise<void>((resolve) => {
          rehearsed = resolve
          this.take(type, body)
        })
      }
      rehearsed = undefined
      done = 0
      registry = host.registry
      hooks = host.hooks
      process.title = title
    },
  }
}

function unframe(data: Buffer): [number, string] {
  let out: [number, string] = [0, '']
  frameReader((type, body) => (out = [type, body.toString()])).push(data)
  return out
}

interface StopSignal {
  readonly signal: AbortSignal
  release(): void
}

/**
 * A job that looks at its signal is told of TERM through it and has until KILL to end; one that does not is ended by
 * TERM. The timer keeps a job alive that waits for nothing but its signal.
 */
function stopSignal(heard: () => void): StopSignal {
  const controller = new AbortController()
  const abort = (): void => {
    heard()
    controller.abort(new DOMException('The job was told to stop', 'AbortError'))
  }
  const keepAlive = setInterval(() => {}, 2 ** 30)
  process.on('SIGTERM', abort)
  return {
    signal: controller.signal,
    release() {
      clearInterval(keepAlive)
      process.off('SIGTERM', abort)
    },
  }
}

/** Uses what broke in children of other designs: a timer, the thread pool, random numbers. */
async function selfTest(): Promise<string> {
  const { readFile } = await import('node:fs/promises')
  const { randomUUID } = await import('node:crypto')
  await new Promise((resolve) => setTimeout(resolve, 1))
  const stat = await readFile('/proc/self/stat', 'utf8')
  return JSON.stringify({
    pid: process.pid,
    seen: Number.parseInt(stat, 10),
    random: Math.random(),
    uuid: randomUUID(),
  })
}
