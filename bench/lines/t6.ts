import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Line } from '../support/bench.ts'
import { median, quantile, ratio, short } from '../support/numbers.ts'
import { atMost } from '../support/rows.ts'
import { clearStarts, startsUntil } from '../support/starts.ts'
import { startProducer, startWorker, TITLES, type PeerName, type WorkerPlan } from '../support/workers.ts'

interface Candidate {
  readonly peer: PeerName
  readonly title: string
  readonly plan: Partial<WorkerPlan>
  /** Longest extra pause between two jobs, drawn at random: longer than an interval of polling, where there is one. */
  readonly spreadMs: number
  readonly p50: number[]
  readonly p99: number[]
}

const candidate = (peer: PeerName, title: string, plan: Partial<WorkerPlan> = {}, spreadMs = 60): Candidate => ({
  peer,
  title,
  plan,
  spreadMs,
  p50: [],
  p99: [],
})

/** Milliseconds from the call that enqueues a job until it begins in an idle worker, one job after the other. */
export async function latencies(
  { redis, dir }: Bench,
  peer: PeerName,
  plan: Partial<WorkerPlan>,
  count: number,
  spreadMs = 60,
): Promise<number[]> {
  await redis.flush()
  const starts = join(dir, 'starts')
  clearStarts(starts)
  await using producer = startProducer(peer, redis.port)
  await using _worker = await startWorker(peer, redis.port, { concurrency: 4, does: 'note', starts, ...plan })
  await producer.call('callers', 20, 1)
  await startsUntil(starts, (seen) => seen.length >= 20, 30_000)
  await sleep(1000)
  clearStarts(starts)
  const sent = new Map<string, bigint>()
  for (let i = 0; i < count; i++) {
    sent.set(`t${i}`, BigInt(await producer.call<string>('add', `t${i}`)))
    await sleep(20)
    await startsUntil(starts, (seen) => seen.length > i, 10_000)
    // Idle again, and not in step with anybody's interval.
    await sleep(20 + spreadMs * Math.random())
  }
  const seen = await startsUntil(starts, (all) => all.length >= count, 10_000)
  if (seen.length !== count) throw new Error(`${peer} started ${seen.length} of ${count} jobs`)
  return seen.map(({ id, at }) => Number(at - (sent.get(id) ?? at)) / 1e6)
}

export const t6: Line = {
  id: 'T6',
  title: 'Latency of an idle worker',
  method:
    'One job every 70 ms or so (every 540 ms for node-resque, longer than it sleeps), from the call that enqueues it in one process until its code begins in another (CLOCK_MONOTONIC in both). Four slots, everything at its default (but ResQueue logs nothing, as the others); node-resque polls every 500 ms instead of 5 s.',
  measure: async (bench) => {
    const inline = candidate('resqueue', 'ResQueue inline')
    const forked = candidate('resqueue', 'ResQueue fork', { sandbox: 'fresh', isolation: 'fork' })
    const bullmq = candidate('bullmq', TITLES.bullmq)
    const all = [
      inline,
      forked,
      bullmq,
      candidate('bee-queue', TITLES['bee-queue']),
      candidate('node-resque', TITLES['node-resque'], {}, 1000),
    ]
    for (let round = 0; round < bench.rounds; round++) {
      for (const { peer, title, plan, spreadMs, p50, p99 } of all) {
        const ms = await latencies(bench, peer, plan, bench.size(peer === 'node-resque' ? 30 : 200), spreadMs)
        p50.push(median(ms))
        p99.push(quantile(ms, 0.99))
        bench.say(`${title}: p50 ${short(median(ms))} ms, p99 ${short(quantile(ms, 0.99))} ms`)
      }
    }
    const told = ({ p50, p99 }: Candidate): string => `${short(median(p50))} / ${short(median(p99))}`
    const peers = Object.fromEntries(all.filter(({ peer }) => peer !== 'resqueue').map((one) => [one.title, told(one)]))
    return [
      {
        line: 'T6',
        figure: 'enqueue → start, inline, p50 / p99 ms',
        ours: told(inline),
        peers,
        checks: [atMost('× BullMQ (p50)', ratio(inline.p50, bullmq.p50), { must: 0.6 })],
      },
      {
        line: 'T6',
        figure: 'enqueue → start, forked, p50 / p99 ms',
        ours: told(forked),
        peers,
        checks: [
          atMost('ms p50', median(forked.p50), { must: 4, aim: 2 }),
          atMost('ms p99', median(forked.p99), { must: 20 }),
        ],
      },
    ]
  },
}
