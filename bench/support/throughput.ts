import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Run, Throughput } from './bench.ts'
import { readCounters } from './counters.ts'
import { short } from './numbers.ts'
import { startProducer, startWorker, TITLES, type PeerName } from './workers.ts'

/** About what a peer does in a second with so many in flight: decides how many jobs make a run of four seconds. */
const EXPECTED: Readonly<Record<PeerName, Readonly<Record<1 | 10 | 50, number>>>> = {
  resqueue: { 1: 4000, 10: 30_000, 50: 60_000 },
  bullmq: { 1: 2700, 10: 8000, 50: 11_000 },
  'bee-queue': { 1: 2800, 10: 9000, 50: 13_000 },
  'node-resque': { 1: 1000, 10: 1900, 50: 1900 },
  lpop: { 1: 4000, 10: 20_000, 50: 40_000 },
}
const SECONDS = 4
export const PEERS = Object.keys(EXPECTED) as readonly PeerName[]
/** Where jobs wait, or are held while they run. */
const LISTS = [
  'resque:queue:bench',
  'bull:bench:wait',
  'bull:bench:active',
  'bq:bench:waiting',
  'bq:bench:active',
  'nr:queue:bench',
  'bench',
]

/** Works a full queue empty with each peer in turn, round by round. */
export async function measureThroughput(bench: Bench, concurrency: 1 | 10 | 50): Promise<Throughput> {
  const runs = Object.fromEntries(PEERS.map((peer) => [peer, [] as Run[]])) as Record<PeerName, Run[]>
  for (let round = 0; round < bench.rounds; round++) {
    for (const peer of PEERS) {
      const run = await measureRun(bench, peer, concurrency)
      runs[peer].push(run)
      const cost = `${short(run.commands)} commands, ${short(run.reads)} reads, ${short(run.cpuMicroseconds)} µs of Redis, ${short(run.workerMicroseconds)} µs of its own a job`
      bench.say(`${TITLES[peer]}, ${concurrency} in flight: ${short(run.rate)} jobs/s, ${cost}`)
    }
  }
  return runs
}

async function measureRun({ redis, size }: Bench, peer: PeerName, concurrency: 1 | 10 | 50): Promise<Run> {
  await redis.flush()
  const total = size(EXPECTED[peer][concurrency] * SECONDS)
  const warm = Math.floor(total / 4)
  {
    await using producer = startProducer(peer, redis.port)
    await producer.call('fill', total)
  }
  const before = await readCounters(redis.client)
  await using worker = await startWorker(peer, redis.port, { concurrency, does: 'count', warm, total })
  const began = await worker.mark('warm')
  const ended = await worker.mark('done')
  await sleep(200) // the last ends are recorded
  const after = await readCounters(redis.client)
  const left = await Promise.all(LISTS.map((list) => redis.client.llen(list)))
  if (left.some((length) => length > 0)) throw new Error(`${peer} left jobs behind: ${left.join(', ')}`)
  return {
    rate: (total - warm) / (Number(ended.at - began.at) / 1e9),
    workerMicroseconds: (ended.cpu - began.cpu) / (total - warm),
    commands: (after.commands - before.commands) / total,
    reads: (after.reads - before.reads) / total,
    cpuMicroseconds: ((after.cpu - before.cpu) / total) * 1e6,
  }
}
