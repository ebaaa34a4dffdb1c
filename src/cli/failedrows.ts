import type { FailedEntry } from '../queue/failed.ts'
import type { Shown } from './output.ts'
import { bytes, isoOf } from './text.ts'

/** A failed job as `failed ls` lists it. */
export interface FailedRow {
  readonly index: number
  readonly id: string | null
  readonly failed_at: string | null
  readonly queue: string
  readonly class: string | null
  readonly exception: string
  readonly error: string
  readonly worker: string
  readonly attempt: number | null
  readonly exit_code: number | null
  readonly signal: string | null
  readonly peak_memory_bytes: number | null
  readonly retried_at: string | null
}

export function failedRow(entry: FailedEntry): FailedRow {
  const { payload } = entry
  return {
    index: entry.index,
    id: payload?.id || null,
    failed_at: isoOf(entry.failedAt),
    queue: entry.queue,
    class: payload?.class ?? null,
    exception: entry.exception,
    error: entry.error,
    worker: entry.worker,
    attempt: entry.attempt ?? null,
    exit_code: entry.exitCode ?? null,
    signal: entry.signal ?? null,
    peak_memory_bytes: entry.peakMemoryBytes ?? null,
    retried_at: isoOf(entry.retriedAt),
  }
}

/** What `failed show` prints: everything that is there. */
export function failedDetails(entry: FailedEntry): (readonly [string, Shown])[] {
  const row = failedRow(entry)
  const fields: (readonly [string, Shown])[] = [
    ['index', row.index],
    ['id', row.id],
    ['failed at', row.failed_at],
    ['queue', row.queue],
    ['class', row.class],
    ['arguments', entry.payload ? JSON.stringify(entry.payload.args) : null],
    ['exception', row.exception],
    ['error', row.error],
    ['worker', row.worker],
    ['attempt', row.attempt],
    ['exit code', row.exit_code],
    ['signal', row.signal],
    ['peak memory', row.peak_memory_bytes === null ? null : bytes(row.peak_memory_bytes)],
    ['retried at', row.retried_at],
    ['stderr', entry.stderr],
    ['backtrace', entry.backtrace.length === 0 ? null : entry.backtrace],
    ['entry', entry.fields ? null : entry.text],
  ]
  const always = new Set(['index', 'id', 'failed at', 'queue', 'class', 'error'])
  return fields.filter(([name, value]) => always.has(name) || (value !== null && value !== undefined && value !== ''))
}
