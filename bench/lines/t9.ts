import type { Line } from '../support/bench.ts'
import { median, ratio } from '../support/numbers.ts'
import { atLeast } from '../support/rows.ts'
import { BULLMQ, FORK, measureSandboxes, rateOf, SPAWN } from '../support/sandbox.ts'

export const t9: Line = {
  id: 'T9',
  title: 'A fresh process for each job, forked',
  method:
    'As T8, with a real fork. Ruby Resque, the other side of this target (1.2× Ruby with two workers), needs Ruby and is not part of this run.',
  measure: async (bench) => {
    const [fork = [], spawn = [], bullmq = []] = await measureSandboxes(bench, [FORK, SPAWN, BULLMQ])
    return [
      {
        line: 'T9',
        figure: 'forked process per job, 2 slots, jobs/s (Ruby not measured)',
        ours: rateOf(fork),
        peers: { [SPAWN.title]: rateOf(spawn), [BULLMQ.title]: rateOf(bullmq) },
        checks: [
          atLeast('× BullMQ without reuse', ratio(fork, bullmq), { must: 12 }),
          atLeast('jobs/s', median(fork), { aim: 800 }),
        ],
        note: 'the other demand, 1.2× Ruby Resque with two workers, is not measured here.',
      },
    ]
  },
}
