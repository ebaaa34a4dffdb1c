import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Line } from '../support/bench.ts'
import { fillMass } from '../support/mass.ts'
import { sentCommands } from '../support/monitor.ts'
import { median, short } from '../support/numbers.ts'
import { startNode } from '../support/process.ts'
import { atMost, type Row } from '../support/rows.ts'
import { startWorker } from '../support/workers.ts'

const SCRAPES = 4

interface Scrapes {
  /** Milliseconds of each scrape. */
  readonly ms: readonly number[]
  /** Commands that a scrape sends, at most. */
  readonly commands: number
}

async function listings({ redis, say }: Bench): Promise<{ name: string; ms: number }> {
  await using lister = startNode([new URL('../peers/listings.ts', import.meta.url).pathname], {
    BENCH_PORT: String(redis.port),
  })
  const [, json = '{}'] = await lister.line(/^listings (.*)$/)
  const all = Object.entries(JSON.parse(json) as Record<string, number[]>).map(([name, ms]) => ({
    name,
    ms: median(ms),
  }))
  say(all.map(({ name, ms }) => `${name} ${short(ms)} ms`).join(', '))
  return all.reduce((worst, one) => (one.ms > worst.ms ? one : worst), { name: '', ms: Number.NaN, ...all[0] })
}

/** Scrapes a worker that serves all queues and is paused, so that nothing changes meanwhile. */
async function scrapes({ redis, say }: Bench): Promise<Scrapes> {
  await redis.client.set('resque:pause-all-workers', 'true')
  await using worker = await startWorker('resqueue', redis.port, {
    concurrency: 1,
    does: 'note',
    queues: '*',
    logLevel: 'info',
  })
  const [, served] = await worker.line(/"port":(\d+)/)
  await worker.line(/worker started/)
  await sleep(2000)
  const scrape = (): Promise<string> => fetch(`http://127.0.0.1:${served}/metrics`).then((response) => response.text())
  await scrape() // Redis knows the script
  const seconds = 8
  const before = await sentCommands(redis.client, seconds * 1000)
  const ms: number[] = []
  const during = sentCommands(redis.client, seconds * 1000)
  for (let i = 0; i < SCRAPES; i++) {
    await sleep(1500)
    const began = performance.now()
    const text = await scrape()
    ms.push(performance.now() - began)
    if (!text.includes('resqueue_redis_up 1')) throw new Error('/metrics could not read Redis')
  }
  // What only scrapes send; the rest is the worker's own renewal.
  const extra = [...(await during)].filter(([name]) => !before.has(name))
  const commands = extra.reduce((sum, [, count]) => sum + count, 0) / SCRAPES
  say(`/metrics: ${short(median(ms))} ms, ${short(commands)} commands (${extra.map(([name]) => name).join(', ')})`)
  return { ms, commands }
}

export const t13: Line = {
  id: 'T13',
  title: 'Much of everything',
  method:
    'A million waiting jobs in 10,000 queues and a million failed ones. Each listing of the client, first page of 50 or 100, the median of seven calls; told is the slowest listing. /metrics of a worker that serves `*`, over HTTP; its commands are those that MONITOR shows only while it is scraped.',
  measure: async (bench) => {
    await bench.redis.flush()
    const [waiting, queues, failed] = bench.quick ? [100_000, 10_000, 100_000] : [1_000_000, 10_000, 1_000_000]
    await fillMass(bench.redis.client, { waiting, queues, failed })
    const worst: { name: string; ms: number }[] = []
    const scraped: Scrapes[] = []
    for (let round = 0; round < bench.rounds; round++) {
      worst.push(await listings(bench))
      scraped.push(await scrapes(bench))
    }
    await bench.redis.flush()
    const listing = median(worst.map(({ ms }) => ms))
    const commands = Math.max(...scraped.map((one) => one.commands))
    const rows: Row[] = [
      {
        line: 'T13',
        figure: `slowest listing, first page, ms (${[...new Set(worst.map(({ name }) => name))].join(', ')})`,
        ours: short(listing),
        peers: {},
        checks: [atMost('ms', listing, { must: 100 })],
      },
      {
        line: 'T13',
        figure: '/metrics: commands a scrape · ms',
        ours: `${short(commands)} · ${short(median(scraped.flatMap(({ ms }) => ms)))}`,
        peers: {},
        checks: [atMost('commands', commands, { must: 1 })],
      },
    ]
    return rows
  },
}
