import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../support/process.ts'

interface Row {
  readonly item: string
  readonly here: string
  readonly tests: readonly string[]
}

const PAGE = 'docs/compatibility.md'

/** The items of the page, in order: rows of its tables that begin with R or G and a number. */
const rows: readonly Row[] = readFileSync(join(ROOT, PAGE), 'utf8')
  .split('\n')
  .filter((line) => /^\| [RG]\d+ \|/.test(line))
  .map((line) => {
    const [, item = '', , here = '', tests = '', ...rest] = line.split(/(?<!\\)\|/).map((cell) => cell.trim())
    if (rest.join('') !== '') throw new Error(`${PAGE}: ${item} has more than four cells`)
    return { item, here, tests: tests.split('<br>').map((one) => one.trim()) }
  })

const numbered = (letter: string, last: number): string[] => Array.from({ length: last }, (_, i) => `${letter}${i + 1}`)

test('the page lists every behaviour of the family and every guarantee once, in order', () => {
  expect(rows.map(({ item }) => item)).toEqual([...numbered('R', 81), ...numbered('G', 7)])
})

test('each item says what becomes of it', () => {
  const forms =
    /^(kept($|[ ;:,])|replaced by.+because.+|not applicable: .+|held by the worker's part: .+; the controller is not included yet$)/
  expect(rows.filter(({ here }) => !forms.test(here)).map(({ item, here }) => `${item}: ${here}`)).toEqual([])
})

test('each item is held by tests that exist', () => {
  const missing = rows.flatMap(({ item, tests }) =>
    tests.filter((name) => !exists(name)).map((name) => `${item}: ${name}`),
  )
  expect(missing).toEqual([])
})

test('a test that does not exist is noticed', () => {
  expect(exists('unit/compatibility.test.ts › a test that does not exist is noticed')).toBe(true)
  expect(exists('unit/compatibility.test.ts › a test that does not exist')).toBe(false)
  expect(exists('unit/nowhere.test.ts › a test that does not exist is noticed')).toBe(false)
  expect(exists('')).toBe(false)
})

/** Whether `<file> › <title>` names a test. In titles that are built, any text may stand for what is put in. */
function exists(name: string): boolean {
  const [, file = '', title = ''] = /^(\S+\.test\.ts) › (.+)$/.exec(name) ?? []
  const path = join(ROOT, 'test', file)
  return title !== '' && existsSync(path) && titlesOf(path).some((pattern) => pattern.test(title))
}

const known = new Map<string, readonly RegExp[]>()

function titlesOf(path: string): readonly RegExp[] {
  const found = known.get(path) ?? readTitles(readFileSync(path, 'utf8'))
  known.set(path, found)
  return found
}

function readTitles(source: string): RegExp[] {
  const calls = source.matchAll(/\btest(?:\.\w+)*\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g)
  return [...calls].flatMap(([, single, double, template = '']) => {
    const plain = single ?? double
    if (plain !== undefined) return [new RegExp(`^${escape(plain.replaceAll(/\\(.)/g, '$1'))}$`)]
    // A piece that is put in may hold a template of its own.
    const pieces = template.split(/\$\{(?:[^{}]|\{[^{}]*\})*\}/)
    // A title that is nearly all put in would fit any name.
    return pieces.join('').length < 12 ? [] : [new RegExp(`^${pieces.map(escape).join('.+')}$`, 's')]
  })
}

function escape(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)
}
