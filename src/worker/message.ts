import { messageOf } from '../errors.ts'
import type { JobLog } from './currentjob.ts'
import { FRAME } from './frames.ts'
import type { JobError } from './outcome.ts'
import type { Report } from './perform.ts'

/** What a frame from a job process says. */
export type Message =
  | { readonly kind: 'report'; readonly report: Report }
  | { readonly kind: 'peak'; readonly bytes: number }
  /** The process got a TERM, of which its job was told. */
  | { readonly kind: 'heard' }
  /** The process got a signal, of which its job's own listeners were told. */
  | { readonly kind: 'told'; readonly signal: NodeJS.Signals }
  | {
      readonly kind: 'log'
      readonly level: keyof JobLog
      readonly text: string
      readonly fields: Record<string, unknown>
    }
  /** The body is not what its type promises: job code wrote to the channel. */
  | { readonly kind: 'garbled'; readonly seen: string }

const LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error'] satisfies (keyof JobLog)[]

/** Reads a frame from a job process. Undefined for those that say nothing of a job. Never throws. */
export function readMessage(type: number, body: Buffer): Message | undefined {
  if (type === FRAME.garbled) return { kind: 'garbled', seen: body.toString() }
  if (type === FRAME.succeeded) return { kind: 'report', report: { kind: 'succeeded', result: body.toString() } }
  if (type === FRAME.heard) return { kind: 'heard' }
  if (type === FRAME.told) return { kind: 'told', signal: body.toString() as NodeJS.Signals }
  if (type === FRAME.skipped) return { kind: 'report', report: { kind: 'skipped' } }
  try {
    if (type === FRAME.failed) return { kind: 'report', report: { kind: 'failed', error: readError(body) } }
    if (type === FRAME.peak) return { kind: 'peak', bytes: readPeak(body) }
    return type === FRAME.log ? readLog(body) : undefined
  } catch (error) {
    return { kind: 'garbled', seen: messageOf(error) }
  }
}

function readPeak(body: Buffer): number {
  const text = body.toString()
  if (!/^\d{1,15}$/.test(text)) throw new Error('a count of bytes that is none')
  return Number(text)
}

function readLog(body: Buffer): Message {
  const [level, text, fields] = JSON.parse(body.toString()) as unknown[]
  if (!LEVELS.includes(String(level))) throw new Error('a log line without a level')
  return {
    kind: 'log',
    level: level as keyof JobLog,
    text: String(text),
    fields: Object(fields) as Record<string, unknown>,
  }
}

function readError(body: Buffer): JobError {
  const error = JSON.parse(body.toString()) as Partial<Record<keyof JobError, unknown>> | null
  if (!error || !Array.isArray(error.backtrace)) throw new Error('an error without a backtrace')
  return {
    type: String(error.type),
    message: String(error.message),
    backtrace: error.backtrace.map(String),
    ...(error.fatal === true ? { fatal: true } : {}),
    ...(typeof error.retryAfterMs === 'number' ? { retryAfterMs: error.retryAfterMs } : {}),
  }
}
