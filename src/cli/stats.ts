import { listQueues } from '../queue/queues.ts'
import { overview } from '../queue/stat.ts'
import { count, plural, some } from '../wording.ts'
import { output } from './options.ts'
import type { Context, Verb } from './verb.ts'

async function stats({ output: out, store: open }: Context): Promise<number> {
  const store = await open()
  const found = await overview(store)
  const { queues } = await listQueues(store, { limit: Infinity })
  const waiting = queues.reduce((sum, { size }) => sum + size, 0)
  const value = {
    processed: found.processed,
    failed: found.failed,
    queues: found.queues,
    waiting_jobs: waiting,
    failed_jobs: found.failedJobs,
    retry_jobs: found.retryJobs,
    delayed_timestamps: found.delayedTimestamps,
    quarantined_jobs: found.quarantinedJobs,
    workers: found.workers,
    processes: found.processes,
    all_paused: found.pausedAll,
    paused_queues: found.pausedQueues,
  }
  out.show(
    [
      ['processed', count(found.processed)],
      ['failed', count(found.failed)],
      ['queues', count(found.queues)],
      ['waiting jobs', count(waiting)],
      ['in failed lists', count(found.failedJobs)],
      ['waiting for a retry', count(found.retryJobs)],
      ['delayed', `to ${plural(found.delayedTimestamps, 'point')} in time`],
      ['in quarantine', count(found.quarantinedJobs)],
      [
        'workers',
        `${plural(found.workers, 'registration')}, ${plural(found.processes, 'process', 'processes')} of ResQueue`,
      ],
      ['paused', found.pausedAll ? 'all workers' : some(found.pausedQueues, 10)],
    ],
    value,
  )
  return 0
}

export const verbs: readonly Verb[] = [
  {
    name: '',
    summary: 'show the totals',
    operands: '',
    count: [0, 0],
    about:
      '"processed" and "failed" count the attempts of all programs on this namespace since the statistics were last cleared.',
    examples: ['stats', 'stats -o json'],
    options: [output],
    redis: true,
    run: stats,
  },
]
