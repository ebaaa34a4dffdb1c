import { isError, jobError } from './joberror.ts'

/**
 * What a job logs beside its message, as JSON: errors with their type, message and backtrace, which JSON would leave
 * out. Never throws: no line of a log fails a job.
 */
export function logFields(fields: unknown): string {
  try {
    return JSON.stringify(fields ?? {}, (_key, value: unknown) => (isError(value) ? shown(value) : value)) ?? '{}'
  } catch {
    // A BigInt, a cycle.
    return JSON.stringify({ fields: process.getBuiltinModule('node:util').inspect(fields) })
  }
}

function shown(error: Error): object {
  const { type, message, backtrace } = jobError(error)
  return Object.assign({}, error, { type, message, backtrace })
}
