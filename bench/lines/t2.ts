import type { Line } from '../support/bench.ts'
import { rateRow } from './t1.ts'

export const t2: Line = {
  id: 'T2',
  title: 'One job at a time',
  method: 'As T1, with one job in flight: what counts is round trips a job.',
  measure: async (bench) => [
    rateRow('T2', 'one in flight, jobs/s', await bench.throughput(1), [{ peer: 'bullmq', must: 1.3, aim: 1.6 }]),
  ],
}
