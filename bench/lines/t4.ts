import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Line } from '../support/bench.ts'
import { usedMemory } from '../support/counters.ts'
import { median, short } from '../support/numbers.ts'
import { atMost } from '../support/rows.ts'
import { startProducer, TITLES, type PeerName } from '../support/workers.ts'

const PEERS: readonly PeerName[] = ['resqueue', 'bullmq', 'bee-queue', 'node-resque', 'lpop']

/** Bytes that Redis needs for each waiting job. */
async function bytesPerJob({ redis, size, say }: Bench, peer: PeerName): Promise<number> {
  await redis.flush()
  await sleep(500)
  const before = await usedMemory(redis.client)
  const count = size(100_000)
  {
    await using producer = startProducer(peer, redis.port)
    await producer.call('fill', count)
  }
  await sleep(500) // its buffers are freed
  const bytes = ((await usedMemory(redis.client)) - before) / count
  say(`${TITLES[peer]}: ${short(bytes)} bytes a job`)
  return bytes
}

export const t4: Line = {
  id: 'T4',
  title: 'Memory of waiting jobs',
  method:
    "used_memory with 100,000 jobs waiting, less that of the empty server, per job. The target is the length of a payload's JSON and 16 bytes; node-resque's payload is shorter because it has no id and no time.",
  measure: async (bench) => {
    const bytes = Object.fromEntries(PEERS.map((peer) => [peer, [] as number[]])) as Record<PeerName, number[]>
    const over: number[] = []
    let json = 0
    for (let round = 0; round < bench.rounds; round++) {
      for (const peer of PEERS) {
        const found = await bytesPerJob(bench, peer)
        bytes[peer].push(found)
        if (peer !== 'resqueue') continue
        const payloads = await bench.redis.client.lrangeBuffer('resque:queue:bench', 0, -1)
        json = payloads.reduce((sum, raw) => sum + raw.length, 0) / payloads.length
        over.push(found - json)
      }
    }
    return [
      {
        line: 'T4',
        figure: 'Redis bytes a waiting job',
        ours: `${short(median(bytes.resqueue))} (JSON ${short(json)})`,
        peers: Object.fromEntries(PEERS.slice(1).map((peer) => [TITLES[peer], short(median(bytes[peer]))])),
        checks: [atMost('bytes over the JSON', median(over), { must: 16 })],
      },
    ]
  },
}
