import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { lines } from './lines/index.ts'
import { parseOptions, USAGE, type BenchOptions } from './options.ts'
import type { Bench, Line, Throughput } from './support/bench.ts'
import { describeMachine } from './support/machine.ts'
import { startRedis, type PrivateRedis } from './support/redis.ts'
import { report, summary } from './support/report.ts'
import { atLeast, type Row } from './support/rows.ts'
import { measureThroughput } from './support/throughput.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const RESULTS = fileURLToPath(new URL('RESULTS.md', import.meta.url))

async function main(options: BenchOptions): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'resqueue-bench-'))
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }))
  await using redis = await startRedis()
  const machine = describeMachine(redis.version)
  const began = Date.now()
  const bench = createBench(redis, dir, options)
  const chosen = lines.filter(({ id }) => options.only?.has(id) ?? true)
  const rows: Row[] = []
  for (const line of chosen) {
    bench.say(`\n${line.id} ${line.title}`)
    const measured = await line.measure(bench).catch((error: unknown) => [broken(line, error)])
    rows.push(...measured)
    bench.say(summary(measured))
  }
  const text = report(rows, {
    machine,
    lines: chosen,
    rounds: options.rounds,
    quick: options.quick,
    minutes: (Date.now() - began) / 60_000,
  })
  console.log(`\n${text}`)
  const out = options.out ?? (options.only || options.quick ? undefined : RESULTS)
  if (out === undefined) return
  writeFileSync(out, text)
  console.log(`Written to ${out}`)
}

/** A line that could not be measured has missed its target; the other lines go on. */
function broken({ id, title }: Line, error: unknown): Row {
  console.error(error)
  process.exitCode = 1
  const why = (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? ''
  const checks = [atLeast('', Number.NaN, { must: 0 })]
  return { line: id, figure: title, ours: 'could not be measured', peers: {}, checks, note: why.replaceAll(ROOT, '') }
}

function createBench(redis: PrivateRedis, dir: string, { quick, rounds }: BenchOptions): Bench {
  const measured = new Map<number, Promise<Throughput>>()
  const bench: Bench = {
    redis,
    rounds,
    quick,
    dir,
    size: (full) => Math.ceil(quick ? full / 5 : full),
    say: (text) => console.log(text),
    throughput: (concurrency) => {
      const known = measured.get(concurrency) ?? measureThroughput(bench, concurrency)
      measured.set(concurrency, known)
      return known
    },
  }
  return bench
}

// Exiting ends what was started.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))

let options: BenchOptions | undefined
try {
  options = parseOptions(
    process.argv.slice(2),
    lines.map(({ id }) => id),
  )
} catch (error) {
  console.error(`${(error as Error).message}\n\n${USAGE}`)
  process.exitCode = 64
}
if (options) await main(options)
