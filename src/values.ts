import { ResQueueError } from './errors.ts'

/**
 * Text into values, for options and for environment variables. Each reader throws `USAGE` with a phrase that says what
 * is wrong with the text and how a right one looks; whoever asked puts the option's name in front of it.
 */
export type Reader<T> = (text: string) => T

export interface Range {
  readonly min?: number
  readonly max?: number
}

/** A whole number. */
export function integer(range: Range = {}): Reader<number> {
  return (text) => {
    if (!/^[+-]?\d{1,15}$/.test(text.trim())) throw bad(`"${text}" is not a whole number`)
    return within(Number(text), range, String)
  }
}

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * A duration in milliseconds: seconds when it has no unit (`0.5`), else `500ms`, `30s`, `5m`, `1h`, `7d`. The range is
 * in milliseconds.
 */
export function duration(range: Range = { min: 0 }): Reader<number> {
  return (text) => {
    const match = /^(\d{1,12}(?:\.\d+)?|\.\d+)\s*(ms|s|m|h|d)?$/i.exec(text.trim())
    if (!match) throw bad(`"${text}" is not a duration; seconds are meant, or write 500ms, 30s, 5m, 1h or 7d`)
    const ms = Number(match[1]) * (DURATION_UNITS[(match[2] ?? 's').toLowerCase()] as number)
    return within(Math.round(ms * 1000) / 1000, range, formatDuration)
  }
}

/** Milliseconds as a person would write them: `500ms`, `25s`, `5m`, `1h`. */
function formatDuration(ms: number): string {
  for (const [unit, size] of Object.entries(DURATION_UNITS).reverse()) {
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`
  }
  return `${ms}ms`
}

const SIZE_UNITS: Readonly<Record<string, number>> = { k: 1 / 1024, m: 1, g: 1024 }

/**
 * A size in MiB: MiB when it has no unit (`256`), else `512Mi`, `512M`, `2Gi`, `2G`. Both kinds of unit are powers of
 * 1024, as V8 counts.
 */
export function mebibytes(range: Range = { min: 1 }): Reader<number> {
  return (text) => {
    const match = /^(\d{1,12}(?:\.\d+)?)\s*(?:([kmg])(?:i?b?)?)?$/i.exec(text.trim())
    if (!match) throw bad(`"${text}" is not a size; MiB are meant, or write 512Mi or 2Gi`)
    return within(
      Math.round(Number(match[1]) * (SIZE_UNITS[(match[2] ?? 'm').toLowerCase()] as number)),
      range,
      (value) => `${value} MiB`,
    )
  }
}

/** One of a few words; `aliases` are read as well but not advertised. */
export function oneOf<T extends string>(choices: readonly T[], aliases: Readonly<Record<string, T>> = {}): Reader<T> {
  return (text) => {
    const word = text.trim().toLowerCase()
    const found =
      choices.find((choice) => choice.toLowerCase() === word) ??
      (Object.hasOwn(aliases, word) ? aliases[word] : undefined)
    if (found === undefined) throw bad(`"${text}" is not one of ${choices.join(', ')}`)
    return found
  }
}

/** Yes or no. */
export const yesNo: Reader<boolean> = (text) => {
  if (/^(1|true|yes|on)$/i.test(text.trim())) return true
  if (/^(0|false|no|off)$/i.test(text.trim())) return false
  throw bad(`"${text}" is neither true nor false`)
}

/** Any text that is not empty. */
export const words: Reader<string> = (text) => {
  if (text.trim() === '') throw bad('it must not be empty')
  return text
}

/** Queues in order of priority, separated by commas: names, `*`, globs, `!skip`; skips alone mean all others. */
export const queueList: Reader<readonly string[]> = (text) => {
  const queues = [...new Set(text.split(',').map((name) => name.trim()))].filter((name) => name !== '')
  if (queues.length === 0) throw bad(`"${text}" names no queue; write for example critical,mail or '*'`)
  if (queues.includes('!')) throw bad(`"${text}" has a lone "!" in it; write !name for a queue to skip`)
  return queues
}

/** A moment in milliseconds since the epoch: ISO 8601 (UTC where it names no zone) or seconds since the epoch. */
export const moment: Reader<number> = (text) => {
  const trimmed = text.trim()
  if (/^\d{9,11}(\.\d+)?$/.test(trimmed)) return Math.round(Number(trimmed) * 1000)
  const match = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/i.exec(trimmed)
  const parsed =
    match && isDay(trimmed.slice(0, 10))
      ? Date.parse(match[1] === undefined || match[4] !== undefined ? trimmed : `${trimmed.replace(' ', 'T')}Z`)
      : Number.NaN
  if (Number.isNaN(parsed)) throw bad(`"${text}" is not a time; write 2030-01-31T08:00:00Z or seconds since 1970`)
  return parsed
}

/** Whether there is such a day: Date.parse takes 2030-02-31 for the third of March. */
function isDay(date: string): boolean {
  const ms = Date.parse(date)
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date)
}

/** A moment that may also be written as a duration before now: `1h`, `7d`. */
export function past(now: () => number): Reader<number> {
  const ago = duration()
  return (text) => {
    if (/^[\d.]+\s*(ms|s|m|h|d)$/i.test(text.trim())) return now() - ago(text)
    try {
      return moment(text)
    } catch {
      throw bad(`"${text}" is neither an age nor a time; write 90m, 7d or 2030-01-31T08:00:00Z`)
    }
  }
}

/** The candidate that `word` was most likely meant to be; undefined where none is near. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = word.length > 1 && candidate.startsWith(word) ? 1 : editDistance(word, candidate)
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

/** Insertions, deletions, replacements and swaps of neighbours between two words. */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const above = rows[i - 1] as number[]
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(
        (above[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (above[j - 1] as number) + (same ? 0 : 1),
      )
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, ((rows[i - 2] as number[])[j - 2] as number) + 1)
      row.push(cost)
    }
    rows.push(row)
  }
  return (rows[a.length] as number[])[b.length] as number
}

function within(value: number, { min = -Infinity, max = Infinity }: Range, show: (value: number) => string): number {
  if (value < min) throw bad(`${show(value)} is too small; the least is ${show(min)}`)
  if (value > max) throw bad(`${show(value)} is too large; the most is ${show(max)}`)
  return value
}

function bad(phrase: string): ResQueueError {
  return new ResQueueError('USAGE', phrase)
}
