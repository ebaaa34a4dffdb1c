import { isObject } from '../json.ts'
import { parseDate } from './dates.ts'

/**
 * A payload: one element of a queue's list, `{"class":…,"args":[…],…}`. Its bytes are never rewritten; this is how they
 * are read.
 */
export interface Payload {
  readonly class: string
  /** Positional arguments. Absent or null `args` read as `[]`, any other single value as a list of that value. */
  readonly args: readonly unknown[]
  /** Empty where the producer gives none (Ruby Resque, node-resque). */
  readonly id: string
  /** php-resque's prefix of the status key; empty as a rule. PHP writes a number for one that was given as a number. */
  readonly prefix: string
  /** Every field as it was parsed, these four included. */
  readonly fields: Readonly<Record<string, unknown>>
}

/** Rails' ActiveJob enqueues every job as this class, and the job's own class inside its argument. */
export const ACTIVE_JOB = 'ActiveJob::QueueAdapters::ResqueAdapter::JobWrapper'

/** What parsing a payload comes to; a `reason` is a short phrase for people, without arguments in it: it is logged. */
export type Parsed = { readonly ok: true; readonly payload: Payload } | { readonly ok: false; readonly reason: string }

/** Reads a payload. Never throws: what cannot be a job says why. */
export function parsePayload(raw: string): Parsed {
  let value: unknown
  try {
    value = JSON.parse(raw)
  } catch (error) {
    return { ok: false, reason: `it is not JSON: ${withoutText(error)}` }
  }
  return payloadOf(value)
}

/** What JSON.parse says, without the piece of the text that it shows behind an unexpected token. */
function withoutText(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/^(Unexpected token '.{1,2}?'),.*$/s, '$1')
}

/** Reads a payload that is already parsed, as in a failed entry. */
export function payloadOf(value: unknown): Parsed {
  if (!isObject(value)) return { ok: false, reason: 'it is not a JSON object' }
  const { class: name, args, id, prefix } = value
  if (typeof name !== 'string') return { ok: false, reason: 'it has no "class" that is a string' }
  return {
    ok: true,
    payload: {
      class: name,
      args: args === undefined || args === null ? [] : Array.isArray(args) ? (args as unknown[]) : [args],
      id: typeof id === 'string' ? id : typeof id === 'number' ? String(id) : '',
      prefix: typeof prefix === 'string' ? prefix : typeof prefix === 'number' && prefix !== 0 ? String(prefix) : '',
      fields: value,
    },
  }
}

/**
 * When a job was enqueued, in milliseconds since the epoch: php-resque's and our `queue_time`, `timestamp`,
 * `enqueued_at`, or ActiveJob's `enqueued_at` inside its argument. undefined where the producer leaves no time (Ruby
 * Resque, node-resque).
 */
export function enqueuedAt(payload: Payload): number | undefined {
  const { queue_time, timestamp, enqueued_at } = payload.fields
  const inner = payload.class === ACTIVE_JOB ? payload.args[0] : undefined
  const wrapped = isObject(inner) ? inner['enqueued_at'] : undefined
  return timeOf(queue_time) ?? timeOf(timestamp) ?? timeOf(enqueued_at) ?? timeOf(wrapped)
}

/** A time as producers write it, in milliseconds: seconds or milliseconds since the epoch, or a date. */
function timeOf(value: unknown): number | undefined {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value > 1e11 ? value : value * 1000
  if (typeof value !== 'string' || value.length > 64) return undefined
  if (/^\d+(\.\d+)?$/.test(value)) return timeOf(Number(value))
  const parsed = parseDate(value)?.getTime() ?? Date.parse(value)
  return Number.isNaN(parsed) ? undefined : parsed
}
