// Not a queue to compare with: what ResQueue's client takes for the first page of each listing, milliseconds.
import { ResQueue } from '../../dist/index.js'
import { port } from './serve.ts'

const TIMES = 7

await using queue = new ResQueue({ redis: `redis://127.0.0.1:${port}` })
const listings: Readonly<Record<string, () => Promise<unknown>>> = {
  stats: () => queue.stats.overview(),
  queues: () => queue.queues.list({ limit: 100 }),
  'queue jobs': () => queue.queues.peek('q0', 0, 50),
  failed: () => queue.failed.list({ limit: 50 }),
  'failed, oldest first': () => queue.failed.list({ limit: 50, order: 'oldest' }),
  'failed of one class': () => queue.failed.list({ limit: 50, class: 'Rare' }),
  workers: () => queue.workers.list(),
  delayed: () => queue.delayed.list({ limit: 50 }),
  retries: () => queue.retries.list({ limit: 50 }),
  quarantine: () => queue.quarantine.list({ limit: 50 }),
}

await queue.stats.overview() // connected
const result: Record<string, number[]> = {}
for (const [name, list] of Object.entries(listings)) {
  const times: number[] = []
  for (let i = 0; i < TIMES; i++) {
    const began = performance.now()
    await list()
    times.push(performance.now() - began)
  }
  result[name] = times
}
process.stdout.write(`listings ${JSON.stringify(result)}\n`)
process.disconnect?.()
