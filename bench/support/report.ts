import type { Line } from './bench.ts'
import type { Machine } from './machine.ts'
import { demandOf, gotOf, verdict, type Row } from './rows.ts'

export interface ReportFacts {
  readonly machine: Machine
  readonly lines: readonly Line[]
  readonly rounds: number
  readonly quick: boolean
  readonly minutes: number
}

const HEAD = ['line', 'figure', 'ResQueue', 'others', 'got', 'must', 'aim', 'verdict']

/** The rows of a line as they come in. */
export function summary(rows: readonly Row[]): string {
  return rows.map((row) => cells(row).join(' | ')).join('\n')
}

/** The whole report as Markdown. */
export function report(rows: readonly Row[], { machine, lines, rounds, quick, minutes }: ReportFacts): string {
  const judged = rows.filter((row) => verdict(row) !== '–')
  const missed = judged.filter((row) => verdict(row) === 'MISSED')
  const notes = rows.filter((row) => row.note !== undefined)
  return [
    '# Results of the benchmark',
    '',
    'Written by `make bench`; [README.md](README.md) says how to run it and what it can and cannot say.',
    '',
    ...(quick ? ['**Measured with `--quick`: sizes too small for figures to quote.**', ''] : []),
    '## Machine',
    '',
    ...machine.facts.map((fact) => `- ${fact}`),
    `- ${rounds} rounds, ${Math.round(minutes)} minutes`,
    '',
    '## Figures',
    '',
    `${judged.length - missed.length} of ${judged.length} figures meet what is demanded of them${missed.length > 0 ? `; missed: ${missed.map((row) => `${row.line} (${row.figure})`).join('; ')}` : ''}.`,
    '',
    ...table(HEAD, rows.map(cells)),
    '',
    ...(notes.length > 0 ? [...notes.map((row) => `- ${row.line}, ${row.figure}: ${row.note}`), ''] : []),
    '## Method',
    '',
    'All systems are measured in one run and take turns, round by round; a figure is the median of the rounds, a ratio the median of the ratios within each round. Every worker and every producer is a process of its own; the others run at their best: finished jobs are removed, events are off (BullMQ cannot do without its stream). The payload is `{id, name}`, the job does nothing. ResQueue runs as it is installed: `resqueue work` with its endpoints on; its log level is `warn` where it is compared, because the others log nothing.',
    '',
    ...lines.map((line) => `- **${line.id}, ${line.title}.** ${line.method}`),
    '',
  ].join('\n')
}

function cells(row: Row): string[] {
  return [
    row.line,
    row.figure,
    row.ours,
    Object.entries(row.peers)
      .map((one) => one.join(' '))
      .join(', '),
    row.checks.map(gotOf).join(', '),
    row.checks
      .map((check) => demandOf(check, check.must))
      .filter(Boolean)
      .join(', '),
    row.checks
      .map((check) => demandOf(check, check.aim))
      .filter(Boolean)
      .join(', '),
    verdict(row),
  ]
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (texts: readonly string[]): string => `| ${texts.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)]
}
