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

const COLUMNS = ['enqueued by', 'job', 'enqueued', 'performed', 'failed', 'quarantined', 'in Redis', 'lost'] as const
const NUMBERS: readonly ((v: Verdict) => number)[] = [
  (v) => v.enqueued,
  (v) => v.counts.performed,
  (v) => v.counts.failed,
  (v) => v.counts.quarantined,
  (v) => v.inRedis,
  (v) => v.lost,
]

/** What became of every job. */
export function table(verdicts: readonly Verdict[]): string {
  const cell = (n: number): string => (n === 0 ? '·' : count(n))
  const rows = verdicts.map((v) => [v.kind.producer, v.kind.job, ...NUMBERS.map((of) => cell(of(v)))])
  const sums = ['all', '', ...NUMBERS.map((of) => count(verdicts.reduce((sum, v) => sum + of(v), 0)))]
  const widths = COLUMNS.map((_, i) => Math.max(...[COLUMNS, ...rows, sums].map((cells) => (cells[i] ?? '').length)))
  const line = (cells: readonly string[]): string =>
    cells.map((text, i) => (i < 2 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join('  ')
  const rule = '─'.repeat(line(sums).length)
  // What does not fit is cut off, not wrapped: the numbers are what matters.
  const room = tty ? Math.max(process.stdout.columns - rule.length - 5, 20) : 120
  const body = verdicts.map((v, i) => {
    const text = `${line(rows[i] ?? [])}  ${cut(remark(v), room)}`.trimEnd()
    return v.wrong.length > 0 ? red(text) : text
  })
  return [dim(line(COLUMNS)), dim(rule), ...body, dim(rule), bold(line(sums))].map((text) => `  ${text}`).join('\n')
}

function remark({ kind, wrong, twice, reason }: Verdict): string {
  const bad = wrong.length > 0 ? `NOT ${kind.end} as expected: job ${wrong.slice(0, 5).join(', ')}; ` : ''
  return `${bad}${twice > 0 ? `${count(twice)} performed twice; ` : ''}${kind.note ?? reason}`.replace(/; $/, '')
}

function cut(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text
}
