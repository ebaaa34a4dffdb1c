import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Line } from '../support/bench.ts'
import { memoryOf } from '../support/memory.ts'
import { median, short } from '../support/numbers.ts'
import { atMost } from '../support/rows.ts'
import { clearStarts, startsUntil } from '../support/starts.ts'
import { startProducer, startWorker, TITLES, type PeerName } from '../support/workers.ts'

/** Anonymous memory of a worker's own process after a thousand jobs, MB. */
async function anonymous({ redis, dir, size, say }: Bench, peer: PeerName): Promise<number> {
  await redis.flush()
  const starts = join(dir, 'starts')
  clearStarts(starts)
  await using producer = startProducer(peer, redis.port)
  const jobs = size(1000)
  await producer.call('fill', jobs)
  const plan = { concurrency: 4, does: 'note', starts, logLevel: 'info' } as const
  await using worker = await startWorker(
    peer,
    redis.port,
    peer === 'resqueue' ? { ...plan, sandbox: 'fresh', isolation: 'fork' } : plan,
  )
  const served = peer === 'resqueue' ? await worker.line(/"port":(\d+)/) : undefined
  const seen = await startsUntil(starts, (all) => all.length >= jobs, 60_000, 250)
  if (seen.length < jobs) throw new Error(`${peer} began ${seen.length} of ${jobs} jobs`)
  for (let i = 0; served && i < 5; i++)
    await fetch(`http://127.0.0.1:${served[1]}/metrics`).then((response) => response.text())
  await sleep(5000)
  const mb = memoryOf(worker.pid).anonymousMb
  say(`${TITLES[peer]}: ${short(mb)} MB`)
  return mb
}

export const t14: Line = {
  id: 'T14',
  title: 'Memory of a worker',
  method:
    "Anonymous of /proc/<pid>/smaps_rollup of the worker's own process, MB of 10^6 bytes, five seconds after a thousand jobs. ResQueue with all defaults, forking, endpoints on and scraped five times; the others with no endpoints, running the jobs themselves. The controller is not part of this run.",
  measure: async (bench) => {
    const ours: number[] = []
    const theirs: number[] = []
    for (let round = 0; round < bench.rounds; round++) {
      ours.push(await anonymous(bench, 'resqueue'))
      theirs.push(await anonymous(bench, 'bullmq'))
    }
    return [
      {
        line: 'T14',
        figure: "anonymous memory of the worker's process, MB",
        ours: short(median(ours)),
        peers: { [TITLES.bullmq]: short(median(theirs)) },
        checks: [atMost('MB', median(ours), { must: 70, aim: 60 })],
      },
    ]
  },
}
