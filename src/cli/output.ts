import { once } from 'node:events'
import { printable, safeJson } from '../printable.ts'
import { PAGE } from '../redis/pages.ts'
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
  /** The same of rows that may be very many: they are shown while they come, and not kept. */
  stream<Row>(columns: readonly Column<Row>[], rows: AsyncIterable<Row>): Promise<void>
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
      else for (const line of layOut(columns)(rows, stdout.isTTY ? stdout.columns : undefined)) print(line)
    },
    stream: async <Row>(columns: readonly Column<Row>[], rows: AsyncIterable<Row>) => {
      const lines = json ? listItems() : layOut(columns)
      const write = async (page: readonly Row[], isLast: boolean): Promise<void> => {
        const text = lines(page, stdout.isTTY ? stdout.columns : undefined, isLast).map((line) => `${line}\n`)
        // A slow reader is waited for: what it has not taken yet would pile up here.
        if (!stdout.write(text.join(''))) await once(stdout, 'drain')
      }
      let page: Row[] = []
      for await (const row of rows) {
        if (page.length === PAGE) {
          await write(page, false)
          page = []
        }
        page.push(row)
      }
      await write(page, true)
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

/** The lines of some more rows of a listing; `isLast`: none come after them. */
type Lines<Row> = (rows: readonly Row[], screen: number | undefined, isLast?: boolean) => string[]

/** A table, headed where it begins. Columns may become wider on the way, never narrower. */
function layOut<Row>(columns: readonly Column<Row>[]): Lines<Row> {
  const titles = columns.map((column) => column.title)
  const last = columns.length - 1
  let widths = titles.map(() => 0)
  let begun = false
  return (rows, screen) => {
    const cells = rows.map((row) => columns.map((column) => cell(column.of(row))))
    const table = begun ? cells : [titles, ...cells]
    begun = true
    widths = widths.map((width, i) =>
      table.reduce((widest, line) => Math.max(widest, widthOf(line[i] as string)), width),
    )
    const before = widths.slice(0, last).reduce((sum, width) => sum + width + GAP.length, 0)
    const room = screen === undefined ? Infinity : Math.max(screen - before, 12)
    const shownWidths = widths.map((width, i) => (i === last ? Math.min(width, room) : width))
    return table.map((line) =>
      line
        .map((text, i) => {
          const width = shownWidths[i] as number
          const shown = i === last ? cut(text, width) : text
          const space = ' '.repeat(Math.max(0, width - widthOf(shown)))
          return columns[i]?.right ? space + shown : shown + space
        })
        .join(GAP)
        .trimEnd(),
    )
  }
}

/** A JSON array, written as `safeJson` writes one. It is closed behind its last item: one cut short is no JSON. */
function listItems<Row>(): Lines<Row> {
  let begun = false
  return (rows, _, isLast) => {
    if (!begun && rows.length === 0) return ['[]']
    const items = safeJson(rows).slice('[\n'.length, -'\n]'.length)
    const lines = [...(begun ? [] : ['[']), ...(isLast ? [items, ']'] : [`${items},`])]
    begun = true
    return lines
  }
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
