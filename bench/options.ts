import { parseArgs } from 'node:util'

export interface BenchOptions {
  /** Lines to measure; undefined: all. */
  readonly only: ReadonlySet<string> | undefined
  readonly quick: boolean
  readonly rounds: number
  readonly out: string | undefined
}

export const USAGE = `node bench/run.ts [--only T1,T5] [--quick] [--rounds N] [--out FILE]

  --only    lines of the targets to measure; default all
  --quick   small sizes, short waits: for a look, not for figures to quote
  --rounds  how often everything is measured; default 3
  --out     where the report goes; default bench/RESULTS.md for a full run, else only standard output`

/** Throws where the command line cannot be understood. */
export function parseOptions(argv: readonly string[], known: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean' },
      rounds: { type: 'string' },
      out: { type: 'string' },
    },
  })
  const only = values.only?.split(',').map((id) => id.trim().toUpperCase())
  const unknown = only?.filter((id) => !known.includes(id)) ?? []
  if (unknown.length > 0) throw new Error(`there is no line ${unknown.join(', ')}; there are ${known.join(', ')}`)
  const rounds = Number(values.rounds ?? 3)
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${values.rounds}: a whole number from 1`)
  return { only: only && new Set(only), quick: values.quick ?? false, rounds, out: values.out }
}
