import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Line } from '../support/bench.ts'
import { connections, sentCommands } from '../support/monitor.ts'
import { median, short } from '../support/numbers.ts'
import { atMost } from '../support/rows.ts'
import { startWorker, TITLES, type PeerName } from '../support/workers.ts'

const QUEUES = Array.from({ length: 100 }, (_, i) => `q${i}`)

interface Idle {
  readonly perSecond: number
  readonly connections: number
}

async function idle({ redis, quick, say }: Bench, peer: PeerName): Promise<Idle> {
  await redis.flush()
  await using _worker = await startWorker(peer, redis.port, {
    concurrency: 4,
    does: 'note',
    logLevel: 'info',
    queues: QUEUES.join(','),
  })
  await sleep(3000)
  const seconds = quick ? 10 : 30
  const sent = await sentCommands(redis.client, seconds * 1000)
  const perSecond = [...sent.values()].reduce((sum, n) => sum + n, 0) / seconds
  const open = await connections(redis.client)
  say(
    `${TITLES[peer]}, idle: ${short(perSecond)} commands/s (${[...sent].map((one) => one.join(' ')).join(', ')} in ${seconds} s), ${open} connections`,
  )
  return { perSecond, connections: open }
}

export const t12: Line = {
  id: 'T12',
  title: 'An idle worker with 100 queues',
  method:
    'Four slots, all defaults, 30 s: every command that reaches Redis from a client, seen by MONITOR (what scripts call is not sent and not counted), and CLIENT LIST. BullMQ and bee-queue need a worker for each queue and are left out; node-resque polls with its four workers every 500 ms.',
  measure: async (bench) => {
    const ours: Idle[] = []
    const theirs: Idle[] = []
    for (let round = 0; round < bench.rounds; round++) {
      ours.push(await idle(bench, 'resqueue'))
      theirs.push(await idle(bench, 'node-resque'))
    }
    const sent = median(ours.map((one) => one.perSecond))
    const open = Math.max(...ours.map((one) => one.connections))
    return [
      {
        line: 'T12',
        figure: 'commands sent/s · connections',
        ours: `${short(sent)} · ${open}`,
        peers: {
          [TITLES['node-resque']]:
            `${short(median(theirs.map((one) => one.perSecond)))} · ${Math.max(...theirs.map((one) => one.connections))}`,
        },
        checks: [atMost('/s', sent, { must: 3, aim: 1.5 }), atMost('connections', open, { must: 2 })],
      },
    ]
  },
}
