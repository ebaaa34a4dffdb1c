import { Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { createOutput, type Output } from '../../src/cli/output.ts'
import { age, bytes, cut, isoOf, widthOf } from '../../src/cli/text.ts'
import { printable, safeJson } from '../../src/printable.ts'
import { plural } from '../../src/wording.ts'

const HOSTILE = '\u001b[31mred\u001b[0m\u009b2J\u202eevil\r\n\u0007\u2028'

/** An output and what it wrote. */
function capture(json: boolean, columns?: number): { output: Output; read: () => string } {
  let text = ''
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString()
      done()
    },
  }) as unknown as NodeJS.WriteStream
  if (columns !== undefined) Object.assign(stream, { isTTY: true, columns })
  return { output: createOutput(json, stream, stream), read: () => text }
}

describe('what comes from Redis cannot play with a terminal', () => {
  test('printable shows control characters as escapes', () => {
    expect(printable(HOSTILE)).toBe('\\u001b[31mred\\u001b[0m\\u009b2J\\u202eevil\\r\\n\\u0007\\u2028')
    expect(printable('Grüße, 東京 🎉')).toBe('Grüße, 東京 🎉')
    expect(printable('lone \ud800 surrogate')).toBe('lone \ufffd surrogate')
  })

  test('what cannot be seen is shown as an escape, so that no two names look the same because of it', () => {
    const unseen = [
      '\u00ad',
      '\u034f',
      '\u115f',
      '\u180e',
      '\u200b',
      '\u206a',
      '\u3164',
      '\ufe00',
      '\ufeff',
      '\u{e0041}',
    ]
    for (const char of unseen) expect(printable(`ma${char}il`)).toMatch(/^ma(\\u[\da-f]{4})+il$/)
    expect(printable('\u{e0041}')).toBe('\\udb40\\udc41')
    expect(printable('mail\ufe0f ❤\ufe0f')).toBe('mail\\ufe0f ❤\ufe0f')
  })

  test('JSON has the same value and no control characters', () => {
    const text = safeJson({ [HOSTILE]: [HOSTILE] })
    expect(JSON.parse(text)).toEqual({ [HOSTILE]: [HOSTILE] })
    expect(text.replaceAll('\n', '')).toMatch(/^[\x20-\x7e]*$/)
  })

  test('neither do tables, single things, sentences and notes', () => {
    const { output, read } = capture(false)
    output.list([{ title: 'A', of: (row: string) => row }], [HOSTILE])
    output.show([['a', HOSTILE]], {})
    output.done(HOSTILE, {})
    output.each([[HOSTILE, {}]])
    output.note(HOSTILE)
    expect(read().replaceAll('\n', '')).toMatch(/^[\x20-\x7e]*$/)
  })
})

describe('tables', () => {
  const columns = [
    { title: 'NAME', of: (row: readonly [string, number, string | null]) => row[0] },
    { title: 'N', right: true, of: (row: readonly [string, number, string | null]) => row[1] },
    { title: 'TEXT', of: (row: readonly [string, number, string | null]) => row[2] },
  ]

  test('are aligned by what a terminal shows', () => {
    const { output, read } = capture(false)
    output.list(columns, [
      ['東京', 1, 'x'],
      ['a', 1000, null],
    ])
    expect(read()).toBe('NAME     N  TEXT\n東京     1  x\na     1000  -\n')
  })

  test('have their last column cut to the width of a terminal, and to no width in a pipe', () => {
    const long = 'y'.repeat(60)
    const screen = capture(false, 40)
    screen.output.list(columns, [['a', 1, long]])
    expect(screen.read().split('\n')[1]).toBe(`a     1  ${'y'.repeat(30)}…`)
    const pipe = capture(false)
    pipe.output.list(columns, [['a', 1, long]])
    expect(pipe.read()).toContain(long)
  })

  test('of hundreds of thousands of rows come while they are read, and few rows are held at a time', async () => {
    for (const json of [false, true]) {
      let written = 0
      let read = 0
      let most = 0
      const stream = new Writable({
        write(chunk: Buffer, _encoding, done) {
          written += chunk.toString().match(/row \d/g)?.length ?? 0
          setImmediate(done)
        },
      }) as unknown as NodeJS.WriteStream
      async function* rows(): AsyncGenerator<readonly [string, number, string | null]> {
        for (; read < 200_000; read++) {
          most = Math.max(most, read - written)
          yield [`row ${read}`, read, null]
        }
      }
      await createOutput(json, stream, stream).stream(columns, rows())
      expect(written).toBe(200_000)
      expect(most).toBeLessThanOrEqual(3000)
    }
  })

  test('read the same, whether their rows come at once or one by one', async () => {
    async function* oneByOne<T>(rows: readonly T[]): AsyncGenerator<T> {
      yield* rows
    }
    for (const json of [false, true]) {
      for (const count of [0, 1, 1000, 1001, 2000]) {
        const rows = Array.from({ length: count }, (_, n) => ['a', 1000 + n, 'x'] as const)
        const [whole, streamed] = [capture(json), capture(json)]
        whole.output.list(columns, rows)
        await streamed.output.stream(columns, oneByOne(rows))
        expect(streamed.read()).toBe(whole.read())
      }
    }
  })

  test('of nothing are a heading, and an empty list in JSON', () => {
    const table = capture(false)
    table.output.list(columns, [])
    expect(table.read()).toBe('NAME  N  TEXT\n')
    const json = capture(true)
    json.output.list(columns, [])
    expect(json.read()).toBe('[]\n')
  })
})

test('single things keep line breaks, aligned', () => {
  const { output, read } = capture(false)
  output.show(
    [
      ['id', 'x'],
      ['backtrace', ['one', 'two\nthree']],
      ['nothing', null],
    ],
    {},
  )
  expect(read()).toBe('id         x\nbacktrace  one\n           two\n           three\nnothing    -\n')
})

test('quantities read well', () => {
  expect([0, 0.44, 9.96, 12.3, 185, 7380, 360_000, null].map(age)).toEqual([
    '0s',
    '0.4s',
    '10s',
    '12s',
    '3m05s',
    '2h03m',
    '4d04h',
    '-',
  ])
  expect([0, 512, 1536, 12_582_912, 5e12].map(bytes)).toEqual(['0 B', '512 B', '1.5 KiB', '12 MiB', '4657 GiB'])
  expect([plural(1, 'job'), plural(2000, 'job'), plural(2, 'entry', 'entries')]).toEqual([
    '1 job',
    '2,000 jobs',
    '2 entries',
  ])
  expect([isoOf(1_795_371_757_491), isoOf(undefined), isoOf(Number.NaN)]).toEqual(['2026-11-22T18:22:37Z', null, null])
  expect([widthOf('abc'), widthOf('東京'), widthOf('e\u0301'), widthOf('👩‍🚀')]).toEqual([3, 4, 1, 2])
  expect([cut('abcdef', 6), cut('abcdef', 4), cut('東京東京', 4)]).toEqual(['abcdef', 'abc…', '東…'])
})
