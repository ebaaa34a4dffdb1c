import type { Verdict } from './audit.ts'

const tty = process.stdout.isTTY
const colours = tty && !process.env['NO_COLOR']
const paint =
  (code: string) =>
  (text: string): string =>
    colours ? `\u001b[${code}m${text}\u001b[0m` : text
export const bold = paint('1')
export const dim = paint('2')
export const red = paint('31')
export const green = paint('32')

export const count = (n: number): string => n.toLocaleString('en-US')
export const seconds = (ms: number): string =>
  ms < 500 ? `${Math.ceil(ms)} ms` : `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`

/** Writes a line of the story: what it is about in a column of its own. */
export function tell(about: string, text: string): void {
  clear()
  process.stdout.write(`  ${bold(about.padEnd(11))} ${text}\n`)
}

export function say(text: string): void {
  clear()
  process.stdout.write(`${text}\n`)
}

let said = -1
const BAR = 30

/** Shows how far the work has come: on a terminal one line that changes, elsewhere a line at every quarter. */
export function progress(done: number, total: number, about: string): void {
  if (tty) {
    const full = Math.floor((BAR * done) / total)
    process.stdout.write(
      `\r\u001b[K  ${'█'.repeat(full)}${dim('░'.repeat(BAR - full))}  ${count(done)} of ${count(total)}  ${dim(about)}`,
    )
  } else {
    const quarter = Math.floor((4 * done) / total)
    if (quarter === said) return
    said = quarter
    tell('Progress', `${count(done)} of ${count(total)} jobs have ended, ${about}`)
  }
}

/** Takes the progress line away. */
function clear(): void {
  if (tty) process.stdout.write('\r\u001b[K')
}

const HEAD = ['enqueued by', 'job', 'enqueued', 'performed', 'failed', 'quarantined', 'in Redis', 'lost', '']

/** What became of every job. */
export function table(verdicts: readonly Verdict[]): string {
  const row = (v: Verdict): string[] => [
    v.kind.producer,
    v.kind.job,
    ...[v.enqueued, v.counts.performed, v.counts.failed, v.counts.quarantined, v.inRedis, v.lost].map(cell),
    remark(v),
  ]
  const sum = (of: (v: Verdict) => number): string => count(verdicts.reduce((total, v) => total + of(v), 0))
  const all = [
    'all',
    '',
    ...[(v: Verdict) => v.enqueued, ...ENDS, (v: Verdict) => v.inRedis, (v: Verdict) => v.lost].map(sum),
    '',
  ]
  const rows = [HEAD, ...verdicts.map(row), all]
  const widths = HEAD.map((_, i) => Math.max(...rows.map((cells) => (cells[i] ?? '').length)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, i) => (i > 1 && i < 8 ? text.padStart(widths[i] ?? 0) : i === 8 ? text : text.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd()
  const rule = '─'.repeat(widths.slice(0, 8).reduce((a, b) => a + b + 2, -2))
  const body = verdicts.map((v, i) => (v.wrong.length > 0 ? red(line(rows[i + 1] ?? [])) : line(rows[i + 1] ?? [])))
  return [dim(line(HEAD)), dim(rule), ...body, dim(rule), bold(line(all))].map((text) => `  ${text}`).join('\n')
}

const ENDS = [(v: Verdict) => v.counts.performed, (v: Verdict) => v.counts.failed, (v: Verdict) => v.counts.quarantined]

const cell = (n: number): string => (n === 0 ? '·' : count(n))

function remark(v: Verdict): string {
  const wrong = v.wrong.length > 0 ? `NOT AS EXPECTED: ${v.kind.end}, jobs ${v.wrong.slice(0, 5).join(', ')}; ` : ''
  const twice = v.twice > 0 ? `${count(v.twice)} performed twice; ` : ''
  const reason = v.reason.length > 60 ? `${v.reason.slice(0, 59)}…` : v.reason
  return `${wrong}${twice}${v.kind.note ?? reason}`.replace(/; $/, '')
}
