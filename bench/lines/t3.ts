import type { Bench, Line } from '../support/bench.ts'
import { median, ratio, short } from '../support/numbers.ts'
import { atLeast, type Row } from '../support/rows.ts'
import { startProducer, TITLES, type PeerName } from '../support/workers.ts'

const PEERS: readonly PeerName[] = ['resqueue', 'bullmq', 'bee-queue', 'node-resque']

interface Way {
  readonly figure: string
  /** undefined: the bulk call. */
  readonly callers: number | undefined
  /** About how many a second, to make runs of two seconds. */
  readonly expected: Readonly<Partial<Record<PeerName, number>>>
  readonly limits: readonly { readonly peer: PeerName; readonly must?: number; readonly aim?: number }[]
}

const WAYS: readonly Way[] = [
  {
    figure: 'bulk enqueue, items/s',
    callers: undefined,
    expected: { resqueue: 300_000, bullmq: 18_000, 'bee-queue': 70_000, 'node-resque': 15_000 },
    limits: [
      { peer: 'bullmq', must: 10, aim: 25 },
      { peer: 'bee-queue', must: 3 },
    ],
  },
  {
    figure: 'enqueue by 64 callers, items/s',
    callers: 64,
    expected: { resqueue: 80_000, bullmq: 18_000, 'bee-queue': 45_000, 'node-resque': 20_000 },
    limits: [
      { peer: 'bullmq', must: 3, aim: 4.5 },
      { peer: 'bee-queue', must: 1.3 },
    ],
  },
  {
    figure: 'enqueue one by one, items/s',
    callers: 1,
    expected: { resqueue: 6000, bullmq: 4300, 'bee-queue': 8000, 'node-resque': 5000 },
    limits: [
      { peer: 'bullmq', must: 1.2 },
      { peer: 'bee-queue', aim: 1 },
    ],
  },
]
const SECONDS = 2

async function measureRate({ redis, size }: Bench, peer: PeerName, { callers, expected }: Way): Promise<number> {
  await redis.flush()
  const count = size((expected[peer] ?? 0) * SECONDS)
  const warm = Math.ceil(count / 4)
  await using producer = startProducer(peer, redis.port)
  const rest = callers === undefined ? [] : [callers]
  const verb = callers === undefined ? 'fill' : 'callers'
  await producer.call('callers', 100, 1) // connected, scripts loaded
  await producer.call(verb, warm, ...rest)
  await redis.client.flushall('SYNC')
  return count / (await producer.call<number>(verb, count, ...rest))
}

async function measureWay(bench: Bench, way: Way): Promise<Row> {
  const rates = Object.fromEntries(PEERS.map((peer) => [peer, [] as number[]])) as Record<PeerName, number[]>
  for (let round = 0; round < bench.rounds; round++) {
    for (const peer of PEERS) {
      const rate = await measureRate(bench, peer, way)
      rates[peer].push(rate)
      bench.say(`${TITLES[peer]}, ${way.figure}: ${short(rate)}`)
    }
  }
  const others = PEERS.filter((peer) => peer !== 'resqueue')
  return {
    line: 'T3',
    figure: way.figure,
    ours: short(median(rates.resqueue)),
    peers: Object.fromEntries(others.map((peer) => [TITLES[peer], short(median(rates[peer]))])),
    checks: way.limits.map(({ peer, ...limit }) =>
      atLeast(`× ${TITLES[peer]}`, ratio(rates.resqueue, rates[peer]), limit),
    ),
  }
}

export const t3: Line = {
  id: 'T3',
  title: 'Enqueueing',
  method:
    "One process enqueues, after a warm-up of a quarter. Bulk: ResQueue's enqueueBulk, BullMQ's addBulk, bee-queue's saveAll and node-resque's enqueue (it has no bulk call), a thousand at a time. Callers: loops that each wait for one enqueue before the next.",
  measure: async (bench) => {
    const rows: Row[] = []
    for (const way of WAYS) rows.push(await measureWay(bench, way))
    return rows
  },
}
