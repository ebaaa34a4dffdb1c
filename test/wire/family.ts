import type { Redis } from 'ioredis'
import { snapshot, type Snapshot } from '../support/redis.ts'

/**
 * What Ruby Resque, its dashboard, php-resque and node-resque require of every key in a namespace: a value that breaks
 * a rule below makes one of their pages or programs fail.
 */
export async function familyViolations(redis: Redis, ns: string): Promise<string[]> {
  return violations(await snapshot(redis, ns))
}

/** ISO 8601 with a zone: what Ruby's `Time.parse` and PHP's `strtotime` read alike. */
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)$/

/**
 * The forms of `failed_at` that the family's programs write: Ruby, php-resque, redisQueue, old php-resque, node-resque,
 * multi-queue.
 */
export const FAILED_AT: readonly RegExp[] = [
  /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d UTC$/,
  ISO,
  /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/,
  /^[A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d [A-Z]{3,4} \d{4}$/,
  /^[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d{4} \d\d:\d\d:\d\d GMT[+-]\d{4} \(.+\)$/,
  /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d$/,
]

/** Keys of the family by name, and what may stand in them. Everything else must lie under `ext:`. */
const RULES: readonly (readonly [name: RegExp, types: string, check: (entry: Held) => string[]])[] = [
  [/^queues$/, 'set', () => []],
  [/^failed_queues$/, 'set', () => []],
  [/^workers$/, 'set', ({ value }) => each(value, badWorkerId)],
  [/^workers:heartbeat$/, 'hash', ({ value }) => each(value, (text) => (ISO.test(text) ? '' : 'is no ISO 8601 time'))],
  [/^worker:ping:/, 'string', () => []],
  [/^worker:.+:started$/, 'string', () => []],
  [/^worker:/, 'string', ({ value }) => each(value, badBusy)],
  [/^(.+_)?failed$/, 'list', ({ value }) => each(value, badFailure)],
  [/^queue:/, 'list', ({ value }) => each(value, badElement)],
  [/^stat:/, 'string', ({ value }) => each(value, (text) => (/^-?\d+$/.test(text) ? '' : 'is no integer'))],
  [/^job:.+:status$/, 'string', ({ value, expires }) => each(value, (text) => badStatus(text, expires))],
  [/^delayed:last_enqueued_at$/, 'hash', () => []],
  [/^delayed:\d+$/, 'list', ({ value }) => each(value, badDelayed)],
  [/^delayed_queue_schedule$/, 'zset', ({ value }) => badSchedule(value)],
  [
    /^timestamps:/,
    'set',
    ({ value }) => each(value, (text) => (/^delayed:\d+$/.test(text) ? '' : 'is no delayed:<s>')),
  ],
  [/^(pause-all-workers|connection_test_key|pruning_dead_workers_in_progress)$/, 'string', () => []],
  [/resque_scheduler_(master|leader)_lock$/, 'string', () => []],
  // Our own keys: any type that the dashboard's page of a key can show, and that is all but streams.
  [/^ext:/, 'string list set zset hash', () => []],
]

interface Held {
  readonly value: readonly string[] | Readonly<Record<string, string>>
  readonly expires: boolean
}

/** Every rule that a namespace breaks, in words. */
export function violations(keys: Snapshot): string[] {
  const found: string[] = []
  for (const [key, { type, value, expires }] of Object.entries(keys)) {
    const rule = RULES.find(([name]) => name.test(key))
    if (!rule) found.push(`${key}: is a key that the family does not know, outside of ext:`)
    else if (!rule[1].split(' ').includes(type)) found.push(`${key}: is a ${type}`)
    else {
      const held = typeof value === 'string' ? [value] : (value ?? [])
      found.push(...rule[2]({ value: held, expires }).map((what) => `${key}: ${what}`))
    }
  }
  return [...found, ...strays(keys)]
}

/** Values that must agree with each other. */
function strays(keys: Snapshot): string[] {
  const members = listed(keys['workers'])
  const beats = Object.keys(keys['workers:heartbeat']?.value ?? {})
  const delayed = Object.keys(keys).filter((key) => /^delayed:\d+$/.test(key))
  const seconds = Object.keys(keys['delayed_queue_schedule']?.value ?? {})
  const filled = Object.keys(keys).filter((key) => key.startsWith('queue:'))
  return [
    ...beats.filter((id) => !members.includes(id)).map((id) => `workers:heartbeat: ${id} is not registered`),
    ...delayed.filter((key) => !seconds.includes(key.slice(8))).map((key) => `${key}: is not in the schedule`),
    ...filled.filter((key) => !listed(keys['queues']).includes(key.slice(6))).map((key) => `${key}: is not in queues`),
  ]
}

function listed(entry: Snapshot[string] | undefined): readonly string[] {
  return Array.isArray(entry?.value) ? (entry.value as readonly string[]) : []
}

function each(value: Held['value'], check: (text: string) => string): string[] {
  return Object.values(value).flatMap((text) => {
    const bad = check(text)
    return bad === '' ? [] : [`${text.slice(0, 200)}: ${bad}`]
  })
}

function badWorkerId(id: string): string {
  const [host = '', pid = '', ...rest] = id.split(':')
  const queues = rest.join(':').split(',')
  if (rest.length === 0) return 'has fewer than two colons'
  if (host === '') return 'has no host'
  if (!/^\d+(\+\d+)?$/.test(pid)) return 'has no pid'
  if (queues.some((queue) => queue === '')) return 'has an empty queue'
  return queues.every((queue) => queue.startsWith('!')) ? 'has no queue but skipped ones' : ''
}

function badBusy(text: string): string {
  const value = objectOf(text)
  if (!value) return 'is no JSON object'
  if (!isObject(value['payload'])) return 'has no payload that is an object'
  if (typeof value['queue'] !== 'string') return 'has no queue'
  return typeof value['run_at'] === 'string' && !Number.isNaN(Date.parse(value['run_at']))
    ? ''
    : 'has no run_at that can be read'
}

function badFailure(text: string): string {
  const value = objectOf(text)
  if (!value) return 'is no JSON object'
  if (!isObject(value['payload'])) return 'has no payload that is an object'
  const { failed_at: failedAt } = value
  if (typeof failedAt !== 'string' || !FAILED_AT.some((form) => form.test(failedAt)))
    return 'has no failed_at of the family'
  for (const field of ['exception', 'error', 'worker', 'queue'])
    if (typeof value[field] !== 'string') return `has no ${field}`
  const { backtrace } = value
  if (!Array.isArray(backtrace) || backtrace.some((line) => typeof line !== 'string'))
    return 'has no list of lines as backtrace'
  // node-resque finds an entry by writing it anew. The payload is as its producer wrote it; all around it is ours to
  // keep canonical.
  const payload = payloadText(text)
  const around = payload === undefined ? text : text.replace(payload, () => '{}')
  return JSON.stringify(JSON.parse(around)) === around ? '' : 'is not written as JSON.stringify would'
}

/** The payload of an entry of ours, as it stands there. */
export function payloadText(entry: string): string | undefined {
  return /^\{"failed_at":"[^"]+","payload":(.*),"exception":"/s.exec(entry)?.[1]
}

function badElement(text: string): string {
  const value = objectOf(text)
  if (!value) return 'is no JSON object'
  if (typeof value['class'] !== 'string') return 'has no class'
  return value['args'] === undefined || Array.isArray(value['args']) ? '' : 'has args that are no list'
}

function badDelayed(text: string): string {
  return badElement(text) || (typeof objectOf(text)?.['queue'] === 'string' ? '' : 'has no queue')
}

function badSchedule(value: Held['value']): string[] {
  return Object.entries(value).flatMap(([second, score]) =>
    second === score && /^\d+$/.test(second) ? [] : [`${second} has the score ${score}`],
  )
}

function badStatus(text: string, expires: boolean): string {
  const value = objectOf(text)
  if (!value || ![1, 2, 3, 4].includes(value['status'] as number)) return 'has no status from 1 to 4'
  if (!Number.isInteger(value['updated'])) return 'has no updated'
  const ended = (value['status'] as number) >= 3
  return ended === expires ? '' : ended ? 'ended and does not expire' : 'expires before its end'
}

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
