import type { Line, Throughput } from '../support/bench.ts'
import { median, ratio, short } from '../support/numbers.ts'
import { atLeast, type Row } from '../support/rows.ts'
import { PEERS } from '../support/throughput.ts'
import { TITLES } from '../support/workers.ts'

const rates = (throughput: Throughput, peer: (typeof PEERS)[number]): number[] =>
  throughput[peer].map((run) => run.rate)

/** Jobs per second of all peers, and ours over those that the targets name. */
export function rateRow(line: string, figure: string, throughput: Throughput, limits: readonly RateLimit[]): Row {
  const others = PEERS.filter((peer) => peer !== 'resqueue')
  return {
    line,
    figure,
    ours: short(median(rates(throughput, 'resqueue'))),
    peers: Object.fromEntries(others.map((peer) => [TITLES[peer], short(median(rates(throughput, peer)))])),
    checks: limits.map(({ peer, ...limit }) =>
      atLeast(`× ${TITLES[peer]}`, ratio(rates(throughput, 'resqueue'), rates(throughput, peer)), limit),
    ),
  }
}

interface RateLimit {
  readonly peer: (typeof PEERS)[number]
  readonly must?: number
  readonly aim?: number
}

export const t1: Line = {
  id: 'T1',
  title: 'Jobs per second, performed in the worker',
  method:
    'A queue is filled with jobs that do nothing, then one worker process empties it. The rate is taken from the start of the job that ends the first quarter to the start of the last job.',
  measure: async (bench) => [
    rateRow('T1', '50 in flight, jobs/s', await bench.throughput(50), [
      { peer: 'bullmq', must: 3, aim: 5 },
      { peer: 'bee-queue', must: 2.5 },
    ]),
    rateRow('T1', '10 in flight, jobs/s', await bench.throughput(10), [{ peer: 'bullmq', must: 2.5, aim: 3.5 }]),
  ],
}
