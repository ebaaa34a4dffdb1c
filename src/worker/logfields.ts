import { isError, jobError } from './joberror.ts'

/** A job's message and its fields are cut here, as a line of its output is: no line of a log fails a job. Characters. */
const MOST = 65_536

/** What a job logs, cut where it is too long. */
export function logMessage(message: unknown): string {
  return String(message).slice(0, MOST)
}

/**
 * What a job logs beside its message, as JSON: errors with their type, message and backtrace, which JSON would leave
 * out. What is too long or has no JSON form stands as text under `fields`. Never throws.
 */
export function logFields(fields: unknown): string {
  let text: string
  try {
    text = JSON.stringify(fields ?? {}, (_key, value: unknown) => (isError(value) ? shown(value) : value)) ?? '{}'
    if (text.length <= MOST) return text
  } catch {
    // A BigInt, a cycle.
    text = process.getBuiltinModule('node:util').inspect(fields)
  }
  return JSON.stringify({ fields: text.slice(0, MOST) })
}

function shown(error: Error): object {
  const { type, message, backtrace } = jobError(error)
  return Object.assign({}, error, { type, message, backtrace })
}
