import type { JobError } from './outcome.ts'
import { verdictOf } from './verdict.ts'

const MAX_TYPE = 200
const MAX_MESSAGE = 32_768
const MAX_FRAME = 1000
const MAX_FRAMES = 100
const MAX_CAUSES = 5

function typeOf(error: Error): string {
  // A class that does not name itself inherits the name of the one above it.
  const own = error.constructor?.name
  const name = error.name === 'Error' && own && own !== 'Object' ? own : error.name || 'Error'
  return String(name).slice(0, MAX_TYPE)
}

function frames(error: Error): string[] {
  return String(error.stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .map((line) => line.trim().slice(0, MAX_FRAME))
}

/** Anything that was thrown, in the form that crosses the process boundary and is recorded. Never throws. */
export function jobError(thrown: unknown): JobError {
  try {
    return describe(thrown)
  } catch {
    // Its own properties throw when they are read.
    return { type: 'Error', message: 'what was thrown cannot be read', backtrace: [] }
  }
}

function describe(thrown: unknown): JobError {
  if (!isError(thrown)) return { type: 'Error', message: text(thrown).slice(0, MAX_MESSAGE), backtrace: [] }
  const verdict = verdictOf(thrown)
  return {
    type: typeOf(thrown),
    message: messageFrom(thrown).slice(0, MAX_MESSAGE),
    backtrace: [...frames(thrown), ...causes(thrown, MAX_CAUSES)].slice(0, MAX_FRAMES),
    ...(verdict?.kind === 'fatal' ? { fatal: true } : {}),
    ...(verdict?.kind === 'retry' && Number.isFinite(verdict.afterMs) ? { retryAfterMs: verdict.afterMs } : {}),
  }
}

/** Also those of another realm (`node:vm`), which are no instances of this one's class. */
export function isError(thrown: unknown): thrown is Error {
  return thrown instanceof Error || Error.isError(thrown)
}

/** What an `AggregateError` and its like gathered: one for each address of a host, each promise of `Promise.any`. */
function membersOf(error: Error): Error[] {
  const { errors } = error as { errors?: unknown }
  return Array.isArray(errors) ? errors.filter(isError) : []
}

/** Where no address of a host can be reached, Node leaves the message empty: then those of the attempts. */
function messageFrom(error: Error): string {
  const own = String(error.message)
  return own === '' ? membersOf(error).map(messageFrom).join('; ') : own
}

/** What led to an error, down to `depth` levels. */
function causes(error: Error, depth: number): string[] {
  if (depth === 0) return []
  return [...membersOf(error), ...(isError(error.cause) ? [error.cause] : [])].flatMap((cause) => [
    `caused by ${typeOf(cause)}: ${messageFrom(cause).slice(0, MAX_FRAME)}`,
    ...frames(cause),
    ...causes(cause, depth - 1),
  ])
}

function text(thrown: unknown): string {
  try {
    return typeof thrown === 'object' && thrown !== null ? JSON.stringify(thrown) : String(thrown)
  } catch {
    return Object.prototype.toString.call(thrown)
  }
}
