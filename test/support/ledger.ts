import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { own } from './scope.ts'
import { PATIENCE_MS, waitFor } from './wait.ts'

/** The module that workers under test perform. */
export const LEDGER_JOBS = new URL('../fixtures/ledger/jobs.ts', import.meta.url).pathname
/** Hooks that note the bytes of every payload. */
export const LEDGER_HOOKS = new URL('../fixtures/ledger/hooks.ts', import.meta.url).pathname

export interface Note {
  readonly word: string
  readonly id: string
  readonly pid: number
  readonly attempt: number
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly more: readonly string[]
}

/** What the jobs of `fixtures/ledger` noted, outside Redis. */
export interface Ledger {
  /** For the environment of workers. */
  readonly env: Readonly<Record<string, string>>
  readonly notes: readonly Note[]
  /** Notes with this word, of one job or of all. */
  of(word: string, id?: string): readonly Note[]
  /** Waits for the note number `count` (default 1) of a job. */
  sees(word: string, id: string, count?: number, timeoutMs?: number): Promise<Note>
  /** A file for Gate jobs to wait for. */
  readonly gate: string
  open(): void
}

export function startLedger(): Ledger {
  const file = join(tmpdir(), `resqueue-ledger-${randomBytes(6).toString('hex')}`)
  const gate = `${file}.gate`
  writeFileSync(file, '')
  own('ledger', () => {
    for (const one of [file, gate]) rmSync(one, { force: true })
  })
  const ledger: Ledger = {
    env: { LEDGER: file },
    gate,
    get notes() {
      return readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map(parseNote)
    },
    of: (word, id) => ledger.notes.filter((note) => note.word === word && (id === undefined || note.id === id)),
    sees: (word, id, count = 1, timeoutMs = PATIENCE_MS) =>
      waitFor(() => ledger.of(word, id)[count - 1], {
        timeoutMs,
        describe: () => `note ${count} of "${word}" by ${id}, having ${JSON.stringify(ledger.notes.slice(-10))}`,
      }),
    open: () => writeFileSync(gate, ''),
  }
  return ledger
}

function parseNote(line: string): Note {
  const [word = '', id = '', pid = '', attempt = '', at = '', ...more] = line.split('\t')
  return { word, id, pid: Number(pid), attempt: Number(attempt), at: Number(at), more }
}

/** A job as it was handed to Redis. */
export interface Sent {
  readonly id: string
  readonly queue: string
  readonly raw: string
}

let serial = 0

/** A payload whose bytes do not survive being decoded and encoded again. */
export function job(queue: string, className: string, args: readonly unknown[] = []): Sent {
  const id = `${(++serial).toString(16).padStart(8, '0')}${randomBytes(12).toString('hex')}`
  const odd = `"e":{},"l":[],"n":1.10,"big":12345678901234567890,"u":"\\u00e9\\/","k":{"b":1,"a":2}`
  return { id, queue, raw: `{"class":${JSON.stringify(className)},"args":${JSON.stringify(args)},${odd},"id":"${id}"}` }
}

/** Where the jobs of a namespace are. Each job is told by its id; a payload that bears none counts under its bytes. */
export interface Account {
  /** Ended runs, per job. */
  readonly performed: ReadonlyMap<string, number>
  readonly waiting: ReadonlyMap<string, string>
  readonly held: ReadonlyMap<string, string>
  readonly failed: ReadonlyMap<string, string>
  readonly retried: ReadonlyMap<string, string>
  readonly quarantined: ReadonlyMap<string, string>
}

/** Reads the ledger and every place in Redis where a job can be. */
export async function takeAccount(redis: Redis, ns: string, ledger: Ledger): Promise<Account> {
  const queues = await redis.smembers(`${ns}:queues`)
  const lists = await Promise.all(queues.map((queue) => redis.lrange(`${ns}:queue:${queue}`, 0, -1)))
  const nonces = await redis.hkeys(`${ns}:ext:processes`)
  const records = await Promise.all(nonces.map((nonce) => redis.hgetall(`${ns}:ext:inflight:${nonce}`)))
  const inFlight = records.flatMap((fields) =>
    Object.entries(fields).flatMap(([field, value]) => (/^\d+$/.test(field) ? [rawOf(value, 2)] : [])),
  )
  const [failed, retried, quarantined] = await Promise.all([
    redis.lrange(`${ns}:failed`, 0, -1),
    redis.zrange(`${ns}:ext:retry`, '0', '-1'),
    redis.lrange(`${ns}:ext:quarantine`, 0, -1),
  ])
  // Read last: who is in none of the places above has ended before.
  const performed = new Map<string, number>()
  for (const { id } of ledger.of('end')) performed.set(id, (performed.get(id) ?? 0) + 1)
  return {
    performed,
    waiting: byId(lists.flat()),
    held: byId(inFlight),
    failed: byId(failed.map(payloadOf)),
    retried: byId(retried.map(retriedPayloadOf)),
    quarantined: byId(quarantined.map((entry) => rawOf(entry, 1))),
  }
}

/** Every job is somewhere, and with the bytes it was sent with. Throws with the list of those that are not. */
export function expectKept(sent: readonly Sent[], account: Account, ledger: Ledger): void {
  const digests = new Map<string, Set<string>>()
  for (const { id, more } of ledger.of('bytes')) digests.set(id, (digests.get(id) ?? new Set()).add(more[0] ?? ''))
  const { performed, ...places } = account
  const lost: string[] = []
  const changed: string[] = []
  for (const { id, raw } of sent) {
    const found = Object.values(places).flatMap((place) => place.get(id) ?? [])
    if (found.length === 0 && !performed.has(id)) lost.push(id)
    const digest = createHash('sha1').update(raw).digest('hex')
    const seen = digests.get(id)
    if (found.some((bytes) => bytes !== raw) || (seen !== undefined && (seen.size > 1 || !seen.has(digest))))
      changed.push(id)
  }
  if (lost.length > 0) {
    const traces = lost.slice(0, 5).map(
      (id) =>
        `${id}: ${ledger.notes
          .filter((note) => note.id === id)
          .map((n) => n.word)
          .join(' ')}`,
    )
    throw new Error(`${lost.length} of ${sent.length} jobs are lost: ${traces.join('; ')}`)
  }
  if (changed.length > 0)
    throw new Error(`The bytes of ${changed.length} jobs changed: ${changed.slice(0, 5).join(', ')}`)
}

function byId(raws: readonly string[]): Map<string, string> {
  return new Map(raws.map((raw) => [idOf(raw), raw]))
}

export function idOf(raw: string): string {
  return /"id":"([^"]+)"\}$/.exec(raw)?.[1] ?? raw
}

/** The payload in `<n numbers> <queue bytes> <queue><raw>`. */
function rawOf(record: string, numbers: number): string {
  const words = record.split(' ', numbers + 1)
  const head = words.join(' ').length + 1
  return record.slice(head + Number(words[numbers]))
}

function payloadOf(entry: string): string {
  const from = entry.indexOf('"payload":') + '"payload":'.length
  return entry.slice(from, entry.lastIndexOf(',"exception":'))
}

function retriedPayloadOf(member: string): string {
  const [claim = '', attempt = '', queueBytes = '', errorBytes = ''] = member.split(' ', 4)
  const head = [claim, attempt, queueBytes, errorBytes].join(' ').length + 1
  return Buffer.from(member)
    .subarray(head + Number(queueBytes) + Number(errorBytes))
    .toString()
}
