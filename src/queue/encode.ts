import { randomBytes } from 'node:crypto'
import { ResQueueError, messageOf } from '../errors.ts'

/** What a payload of ours is built from. `args` is the list as it will stand in the payload. */
export interface Draft {
  readonly class: string
  readonly args: readonly unknown[]
  readonly id: string
  readonly prefix: string
  /** Milliseconds; written as seconds. */
  readonly queueTime: number
  /** Written as `queue`, which only delayed items have. */
  readonly queue: string | undefined
  /** JSON of the last key `x`. */
  readonly extras: string | undefined
}

/** Redis' cjson, which workers look into a payload with, refuses deeper nesting. */
export const MAX_DEPTH = 900

const EMPTY_PREFIX = '","prefix":"","queue_time":'

const POOL_IDS = 512
let pool = ''
let poolAt = 0

/** A fresh id (R3): 32 lowercase hex digits from the system's random source. */
export function newId(): string {
  if (poolAt === pool.length) {
    pool = randomBytes(16 * POOL_IDS).toString('hex')
    poolAt = 0
  }
  return pool.slice(poolAt, (poolAt += 32))
}

const heads = new Map<string, string>()

/**
 * A payload's bytes, exactly `{"class":…,"args":[…],"id":…,"prefix":…,"queue_time":…[,"queue":…][,"x":…]}` as
 * JSON.stringify would write them. Throws `INVALID_ARGUMENT` for arguments that JSON cannot carry unchanged (R2, R11).
 */
export function encodePayload(draft: Draft): string {
  const { prefix, queue, extras } = draft
  // Joined, not added: adding leaves a tree of pieces for the garbage collector, which costs more than the joining.
  return [
    headOf(draft.class),
    encodeArgs(draft.args),
    ',"id":"',
    escapeId(draft.id),
    prefix === '' ? EMPTY_PREFIX : `","prefix":${JSON.stringify(prefix)},"queue_time":`,
    draft.queueTime / 1000,
    queue === undefined ? '' : `,"queue":${JSON.stringify(queue)}`,
    extras === undefined ? '}' : `,"x":${extras}}`,
  ].join('')
}

/**
 * Arguments as JSON. Refused: functions, symbols, BigInt, NaN and infinities, invalid dates, cycles, undefined inside a
 * list, Map, Set and Promise (they would silently become `{}`), strings with a lone surrogate (no UTF-8 exists for
 * them, so PHP and Ruby could not read the job), nesting beyond 900. A property that is undefined, or whose toJSON
 * returns that, is left out, as JSON.stringify does.
 */
function encodeArgs(args: readonly unknown[]): string {
  if (args.length === 0) return '[]'
  let text: string | undefined
  try {
    text = JSON.stringify(args)
  } catch (error) {
    throw refuse(`cannot be written as JSON: ${messageOf(error).split('\n')[0]}`, error)
  }
  check(args, 1)
  return text
}

function check(value: unknown, depth: number): void {
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) throw refuse('hold a string with a lone surrogate, which has no UTF-8 form')
      return
    case 'number':
      if (!Number.isFinite(value)) throw refuse(`hold ${value}, which JSON does not know`)
      return
    case 'boolean':
      return
    case 'object':
      if (value !== null) checkObject(value, depth)
      return
    default:
      throw refuse(
        `hold ${typeof value === 'undefined' ? 'undefined in a list' : `a ${typeof value}`}, which JSON does not know`,
      )
  }
}

function checkObject(value: object, depth: number): void {
  if (depth > MAX_DEPTH) throw refuse(`are nested deeper than ${MAX_DEPTH} levels`)
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) check(plain(value[i], i), depth + 1)
    return
  }
  const fields = value as Record<string, unknown>
  if (value instanceof Map || value instanceof Set)
    throw refuse(`hold a ${value instanceof Map ? 'Map' : 'Set'}; pass a plain object or an array`)
  const keys = Object.keys(fields)
  if (keys.length === 0 && value instanceof Promise) throw refuse('hold a Promise; await it first')
  for (const key of keys) {
    if (!key.isWellFormed()) throw refuse('hold a key with a lone surrogate, which has no UTF-8 form')
    const inner = plain(fields[key], key)
    if (inner !== undefined) check(inner, depth + 1)
  }
}

/** What JSON.stringify writes of a value: what its toJSON returns, where it has one. */
function plain(value: unknown, key: string | number): unknown {
  if (typeof value !== 'object' || value === null) return value
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON !== 'function') return value
  const json: unknown = toJSON.call(value, String(key))
  if (json === null && value instanceof Date) throw refuse('hold an invalid Date')
  return json
}

function headOf(name: string): string {
  let head = heads.get(name)
  if (head === undefined) {
    if (heads.size >= 1000) heads.clear()
    head = `{"class":${JSON.stringify(name)},"args":`
    heads.set(name, head)
  }
  return head
}

/** As it stands between its quotes. */
function escapeId(id: string): string {
  return /^[\w.:-]+$/.test(id) ? id : JSON.stringify(id).slice(1, -1)
}

function refuse(why: string, cause?: unknown): ResQueueError {
  return new ResQueueError(
    'INVALID_ARGUMENT',
    `The arguments of a job ${why}. Nothing was enqueued.`,
    cause === undefined ? {} : { cause },
  )
}
