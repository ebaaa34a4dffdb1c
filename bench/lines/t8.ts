import type { Line } from '../support/bench.ts'
import { median, quantile, ratio, short } from '../support/numbers.ts'
import { atLeast, atMost } from '../support/rows.ts'
import { BULLMQ, measureSandboxes, rateOf, SPAWN } from '../support/sandbox.ts'
import { latencies } from './t6.ts'

export const t8: Line = {
  id: 'T8',
  title: 'A fresh process for each job, spawned',
  method:
    'Two slots, jobs that only note when they begin; from the first quarter to the last start; that no process served twice is checked. BullMQ always uses its children again: here each is killed where it would go back to the pool. Start: as T6, from the call that enqueues until the job begins in the process that waited for it, so it holds the way through Redis.',
  measure: async (bench) => {
    const [ours = [], theirs = []] = await measureSandboxes(bench, [SPAWN, BULLMQ])
    const p50: number[] = []
    const p99: number[] = []
    const others: number[] = []
    for (let round = 0; round < bench.rounds; round++) {
      const ms = await latencies(bench, 'resqueue', { sandbox: 'fresh', isolation: 'spawn' }, bench.size(100))
      p50.push(median(ms))
      p99.push(quantile(ms, 0.99))
      others.push(median(await latencies(bench, 'bullmq', { sandbox: 'fresh' }, bench.size(40))))
      bench.say(
        `ResQueue spawn: p50 ${short(p50.at(-1) ?? 0)} ms; BullMQ sandbox without reuse: p50 ${short(others.at(-1) ?? 0)} ms`,
      )
    }
    return [
      {
        line: 'T8',
        figure: 'spawned process per job, jobs/s',
        ours: rateOf(ours),
        peers: { [BULLMQ.title]: rateOf(theirs) },
        checks: [atLeast('× BullMQ without reuse', ratio(ours, theirs), { must: 1.8 })],
      },
      {
        line: 'T8',
        figure: 'enqueue → start, spawned, p50 / p99 ms',
        ours: `${short(median(p50))} / ${short(median(p99))}`,
        peers: { 'BullMQ sandbox without reuse (p50)': short(median(others)) },
        checks: [atMost('ms p50', median(p50), { must: 3 })],
      },
    ]
  },
}
