import type { JobError } from './outcome.ts'
import { verdictOf } from './verdict.ts'

const MAX_MESSAGE = 32_768
const MAX_FRAMES = 100

function typeOf(error: Error): string {
  // A class that does not name itself inherits the name of the one above it.
  const own = error.constructor?.name
  return error.name === 'Error' && own && own !== 'Object' ? own : error.name || 'Error'
}

function frames(error: Error): string[] {
  return String(error.stack ?? '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .map((line) => line.trim())
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
  if (!(thrown instanceof Error)) return { type: 'Error', message: text(thrown).slice(0, MAX_MESSAGE), backtrace: [] }
  const backtrace = frames(thrown)
  let cause: unknown = thrown.cause
  for (let depth = 0; cause instanceof Error && depth < 5; depth += 1) {
    backtrace.push(`caused by ${typeOf(cause)}: ${cause.message.slice(0, 1000)}`, ...frames(cause))
    cause = cause.cause
  }
  const verdict = verdictOf(thrown)
  return {
    type: typeOf(thrown),
    message: String(thrown.message).slice(0, MAX_MESSAGE),
    backtrace: backtrace.slice(0, MAX_FRAMES),
    ...(verdict?.kind === 'fatal' ? { fatal: true } : {}),
    ...(verdict?.kind === 'retry' ? { retryAfterMs: verdict.afterMs } : {}),
  }
}

function text(thrown: unknown): string {
  try {
    return typeof thrown === 'object' && thrown !== null ? JSON.stringify(thrown) : String(thrown)
  } catch {
    return Object.prototype.toString.call(thrown)
  }
}
