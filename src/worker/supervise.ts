import { LONGEST_TIMER_MS, systemClock } from '../clock.ts'
import { defined } from '../defined.ts'
import type { RunControl } from './backend.ts'
import type { EngineOptions, JobRun } from './engine.ts'
import { assignmentFrame } from './frames.ts'
import type { JobProcess, ProcessEnd } from './jobprocess.ts'
import { oomKills, watchMemory } from './memory.ts'
import { readMessage } from './message.ts'
import type { Heard, JobError, Outcome, ProcessReport } from './outcome.ts'

const MIB = 1_048_576
/** What V8 writes before it aborts, on every version so far. */
const HEAP_IS_FULL = /JavaScript heap out of memory|FATAL ERROR: .*(heap|allocation)/i

/** Why the parent ended a run. */
type Intervention =
  | { readonly kind: 'timed_out'; readonly timeoutMs: number }
  | { readonly kind: 'cancelled'; readonly reason: string }
  | { readonly kind: 'out_of_memory'; readonly limitBytes: number }
  | { readonly kind: 'returned'; readonly reason: string; readonly counted: false }
  /** What came over the process's channel cannot be read, and so no report will be. */
  | { readonly kind: 'failed'; readonly error: JobError }

/** How a supervised run ended, and whether its process may take another job. */
export interface Supervised {
  readonly outcome: Outcome
  readonly reusable: boolean
  /** The process never began, and was killed for it. */
  readonly hung: boolean
  /** The process ended by itself before the job's code began: another may take the job at once. */
  readonly unbegun: boolean
  /** There was no process to run it: the machine is out of something for the moment. */
  readonly unmade: boolean
}

/** What an aborted signal says. */
export function reasonOf(signal: AbortSignal): string {
  const { reason } = signal as { reason: unknown }
  return reason instanceof Error ? reason.message : String(reason)
}

let oomKillsSeen = oomKills()

function outOfMemory(end: ProcessEnd, stderr: string): boolean {
  if (end.signal === 'SIGKILL') {
    const now = oomKills()
    const risen = now > oomKillsSeen
    oomKillsSeen = now
    return risen
  }
  // V8 aborts; some versions trap instead.
  return (end.signal === 'SIGABRT' || end.signal === 'SIGTRAP' || end.code === 134) && HEAP_IS_FULL.test(stderr)
}

function processReport(end: ProcessEnd, stderr: string): ProcessReport {
  const { pid, code, signal, peakMemoryBytes } = end
  return defined({ pid, exitCode: code, signal, peakMemoryBytes, stderr: stderr || undefined })
}

function garbled(seen: string): Intervention {
  const message = `Job wrote to the channel between its process and the worker (${seen}); its code must not write to descriptors that it did not open`
  return { kind: 'failed', error: { type: 'DirtyExit', message, backtrace: [] } }
}

/** What the end of a process that sent no report means for its job. */
function endOf(end: ProcessEnd, begun: boolean, stderr: string, limitBytes: number | undefined): Outcome {
  const report = processReport(end, stderr)
  if (end.lost !== undefined) return { kind: 'returned', reason: end.lost, counted: !end.unmade, process: report }
  if (outOfMemory(end, stderr)) {
    return { kind: 'out_of_memory', ...defined({ limitBytes }), process: report }
  }
  if (!begun)
    return { kind: 'returned', reason: 'the job process ended before the job began', counted: true, process: report }
  if (end.signal !== undefined) return { kind: 'signalled', signal: end.signal, process: report }
  return { kind: 'exited', code: end.code ?? 0, process: report }
}

/**
 * Runs one job in a process and sees to its time, its memory and its abortion: TERM to the group, which a job that
 * looks at its signal hears as an abort, then KILL. Never rejects.
 */
export function supervise(
  process: JobProcess,
  job: JobRun,
  { signal, timeoutMs, started, killers }: RunControl,
  options: EngineOptions,
): Promise<Supervised> {
  return new Promise((resolve) => {
    const limitBytes = options.jobMemoryMiB === undefined ? undefined : options.jobMemoryMiB * MIB
    let intervention: Intervention | undefined
    let hung = false
    let unbegun = false
    let unmade = false
    let peakMemoryBytes: number | undefined
    let heard: Heard | undefined
    let told: Heard | undefined
    let settled = false
    let afterStart: ((pid: number) => void) | undefined
    let killTimer: NodeJS.Timeout | undefined
    let stopWatching: (() => void) | undefined
    let timeout: NodeJS.Timeout | undefined

    const finish = (outcomeWith: (stderr: string) => Outcome, reusable: boolean): void => {
      if (settled) return
      settled = true
      clearTimeout(timeout)
      clearTimeout(killTimer)
      stopWatching?.()
      signal.removeEventListener('abort', onAbort)
      killers.delete(killNow)
      const settle = (stderr: string): void =>
        resolve({ outcome: outcomeWith(stderr), reusable, hung, unbegun, unmade })
      const released = process.release()
      if (typeof released === 'string') settle(released)
      else released.then(settle, () => settle(''))
    }
    const intervene = (why: Intervention, at: 'TERM' | 'KILL'): void => {
      if (settled || intervention) return
      intervention = why
      if (at === 'KILL') return process.kill('SIGKILL')
      process.kill('SIGTERM')
      killTimer = setTimeout(() => process.kill('SIGKILL'), options.killDelayMs)
    }
    const killNow = (): void => {
      if (intervention) process.kill('SIGKILL')
      else intervene({ kind: 'cancelled', reason: 'killed' }, 'KILL')
    }
    const onAbort = (): void => intervene({ kind: 'cancelled', reason: reasonOf(signal) }, 'TERM')

    process.assign(assignmentFrame(job), {
      started(pid) {
        if (limitBytes !== undefined) {
          stopWatching = watchMemory(pid, limitBytes, () => intervene({ kind: 'out_of_memory', limitBytes }, 'KILL'))
        }
        started(pid)
        afterStart?.(pid)
      },
      line: (stream, line) => options.events.output(job, stream, line),
      frame(type, body) {
        const message = readMessage(type, body)
        if (message === undefined) return
        if (message.kind === 'garbled') return intervene(garbled(message.seen), 'KILL')
        if (message.kind === 'peak') {
          peakMemoryBytes = message.bytes
          return
        }
        if (message.kind === 'heard') {
          heard = { signal: 'SIGTERM', at: systemClock.monotonic() }
          return
        }
        if (message.kind === 'told') {
          told = { signal: message.signal, at: systemClock.monotonic() }
          return
        }
        if (message.kind === 'log') {
          options.events.log(job, message.level, message.text, message.fields)
          return
        }
        const { report } = message
        // A job that gave up half-way may look like one that is done; all that its report says now is that nobody waits
        // for TERM.
        if (intervention) return process.kill('SIGKILL')
        const done = (pid: number): void =>
          finish((stderr) => {
            const said = report.kind === 'failed' && stderr !== '' ? stderr : undefined
            return { ...report, ...defined({ heard }), process: defined({ pid, peakMemoryBytes, stderr: said }) }
          }, true)
        const pid = process.pid()
        // A child may be done before whoever forked it has said so.
        if (pid === undefined) afterStart = done
        else done(pid)
      },
      ended(end) {
        const stderr = process.stderr()
        const why = intervention
        if (why) finish(() => ({ ...why, process: processReport(end, stderr) }), false)
        else {
          unbegun = end.lost === undefined && !process.begun()
          unmade = end.unmade === true
          const outcome = endOf(end, process.begun(), stderr, limitBytes)
          // Code of its own that left on a signal would not have left without.
          finish(() => (outcome.kind === 'exited' && told ? { ...outcome, heard: told } : outcome), false)
        }
      },
      hung() {
        hung = true
        intervene({ kind: 'returned', reason: 'the job process did not begin', counted: false }, 'KILL')
      },
    })
    if (timeoutMs !== undefined) {
      const late = (): void => intervene({ kind: 'timed_out', timeoutMs }, 'TERM')
      timeout = setTimeout(late, Math.min(timeoutMs, LONGEST_TIMER_MS))
    }
    killers.add(killNow)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}
