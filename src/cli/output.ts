import { printable, safeJson } from '../printable.ts'
import { cut, widthOf } from './text.ts'

/** A column of a table. `of` gives text straight from Redis if need be: it is made safe here. */
export interface Column<Row> {
  readonly title: string
  /** Numbers and durations read best to the right. */
  readonly right?: boolean
  of(row: Row): string | number | null | undefined
}

/** What a field of one thing may be; a list takes a line for each. */
export type Shown = string | number | null | undefined | readonly string[]

/** Where a verb's results go: tables for people, JSON for programs, both on stdout; everything else on stderr. */
export interface Output {
  readonly json: boolean
  /** A listing: aligned columns, or a JSON array of the rows as they are. */
  list<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): void
  /** One thing: a line per field, or the value as a JSON object. */
  show(fields: readonly (readonly [name: string, value: Shown])[], value: unknown): void
  /** The result of an action: a sentence, or the value as a JSON object. */
  done(sentence: string, value: unknown): void
  /** The results of an action on several things: a sentence each, or a JSON array. */
  each(results: readonly (readonly [sentence: string, value: unknown])[]): void
  /** A line on stdout in either format, as it is. */
  line(text: string): void
  /** A line on stderr. */
  note(text: string): void
}

/** Longest cell of a table; JSON has everything. */
const MOST = 200
const GAP = '  '

export function createOutput(json: boolean, stdout: NodeJS.WriteStream, stderr: NodeJS.WriteStream): Output {
  const print = (text: string): void => void stdout.write(`${text}\n`)
  return Object.freeze({
    json,
    list: <Row>(columns: readonly Column<Row>[], rows: readonly Row[]) => {
      if (json) print(safeJson(rows))
      else for (const line of layOut(columns, rows, stdout.isTTY ? stdout.columns : undefined)) print(line)
    },
    show: (fields: readonly (readonly [string, Shown])[], value: unknown) => {
      if (json) return print(safeJson(value))
      const width = Math.max(...fields.map(([name]) => name.length))
      for (const [name, field] of fields) {
        const [first = '', ...rest] = linesOf(field)
        print(`${name.padEnd(width)}${GAP}${first}`.trimEnd())
        for (const line of rest) print(`${' '.repeat(width)}${GAP}${line}`)
      }
    },
    done: (sentence: string, value: unknown) => print(json ? safeJson(value) : printable(sentence)),
    each: (results: readonly (readonly [string, unknown])[]) => {
      if (json) print(safeJson(results.map(([, value]) => value)))
      else for (const [sentence] of results) print(printable(sentence))
    },
    line: print,
    note: (text: string) => void stderr.write(`${printable(text)}\n`),
  })
}

function layOut<Row>(columns: readonly Column<Row>[], rows: readonly Row[], screen: number | undefined): string[] {
  const cells = rows.map((row) => columns.map((column) => cell(column.of(row))))
  const table = [columns.map((column) => column.title), ...cells]
  const widths = columns.map((_, i) => Math.max(...table.map((line) => widthOf(line[i] as string))))
  const last = columns.length - 1
  if (screen !== undefined) {
    const before = widths.slice(0, last).reduce((sum, width) => sum + width + GAP.length, 0)
    widths[last] = Math.min(widths[last] as number, Math.max(screen - before, 12))
  }
  return table.map((line) =>
    line
      .map((text, i) => {
        const shown = i === last ? cut(text, widths[i] as number) : text
        const space = ' '.repeat(Math.max(0, (widths[i] as number) - widthOf(shown)))
        return columns[i]?.right ? space + shown : shown + space
      })
      .join(GAP)
      .trimEnd(),
  )
}

function cell(value: string | number | null | undefined): string {
  return value === null || value === undefined || value === '' ? '-' : cut(printable(String(value)), MOST)
}

/** Text keeps its line breaks here, and nothing else that moves a cursor. */
function linesOf(value: Shown): string[] {
  if (value === null || value === undefined || value === '') return ['-']
  if (typeof value === 'object') return value.length === 0 ? ['-'] : value.flatMap(linesOf)
  return String(value).split('\n').map(printable)
}
