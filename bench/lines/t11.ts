import type { Line } from '../support/bench.ts'
import { ratio } from '../support/numbers.ts'
import { atLeast, type Row } from '../support/rows.ts'
import { measureSandboxes, rateOf, type Sandbox } from '../support/sandbox.ts'

const ours = (concurrency: number): Sandbox => ({
  title: 'ResQueue, reused',
  peer: 'resqueue',
  sandbox: 'reused',
  isolation: 'fork',
  concurrency,
  expected: 4000,
})
const theirs = (concurrency: number): Sandbox => ({
  title: 'BullMQ sandbox',
  peer: 'bullmq',
  sandbox: 'reused',
  concurrency,
  expected: 1800,
})

export const t11: Line = {
  id: 'T11',
  title: 'Job processes used again without limit',
  method: "As T8, with --jobs-per-child 0 and BullMQ's sandbox as it is.",
  measure: async (bench) => {
    const rows: Row[] = []
    for (const children of [10, 2]) {
      const [mine = [], others = []] = await measureSandboxes(bench, [ours(children), theirs(children)])
      rows.push({
        line: 'T11',
        figure: `${children} processes used again, jobs/s`,
        ours: rateOf(mine),
        peers: { [theirs(children).title]: rateOf(others) },
        checks: [atLeast('× BullMQ sandbox', ratio(mine, others), { must: 2, aim: 4 })],
      })
    }
    return rows
  },
}
