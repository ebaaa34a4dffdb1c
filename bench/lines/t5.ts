import type { Line, Run, Throughput } from '../support/bench.ts'
import { median, ratio, short } from '../support/numbers.ts'
import { atMost, type Check, type Row } from '../support/rows.ts'
import { PEERS } from '../support/throughput.ts'
import { TITLES } from '../support/workers.ts'

function costRow(throughput: Throughput, figure: string, pick: (run: Run) => number, checks: Check[]): Row {
  const cost = (peer: (typeof PEERS)[number]): string => short(median(throughput[peer].map(pick)))
  const others = PEERS.filter((peer) => peer !== 'resqueue')
  return {
    line: 'T5',
    figure,
    ours: cost('resqueue'),
    peers: Object.fromEntries(others.map((peer) => [TITLES[peer], cost(peer)])),
    checks,
  }
}

export const t5: Line = {
  id: 'T5',
  title: 'What a job costs Redis',
  method:
    'The runs of T1 with 10 in flight, one queue. Commands: all calls in INFO commandstats, scripts and what they call. Reads: total_reads_processed. CPU: used_cpu_user + used_cpu_sys. Start of the worker included, divided by all jobs.',
  measure: async (bench) => {
    const runs = await bench.throughput(10)
    const ours = (pick: (run: Run) => number): number => median(runs.resqueue.map(pick))
    const cpu = (run: Run): number => run.cpuMicroseconds
    return [
      costRow(runs, 'Redis commands a job', (run) => run.commands, [
        atMost(
          '',
          ours((run) => run.commands),
          { must: 1.5, aim: 1.3 },
        ),
      ]),
      costRow(runs, 'socket reads a job', (run) => run.reads, [
        atMost(
          '',
          ours((run) => run.reads),
          { must: 0.12, aim: 0.1 },
        ),
      ]),
      costRow(runs, 'Redis CPU a job, µs', cpu, [
        atMost('µs', ours(cpu), { must: 20, aim: 12 }),
        atMost('× BullMQ', ratio(runs.resqueue.map(cpu), runs.bullmq.map(cpu)), { must: 0.35 }),
      ]),
      costRow(runs, "the worker's own CPU a job, µs", (run) => run.workerMicroseconds, []),
    ]
  },
}
