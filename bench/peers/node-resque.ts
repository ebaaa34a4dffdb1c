import { Redis } from 'ioredis'
import { Queue, Worker, type ConnectionOptions } from 'node-resque'
import { chunks, payload, port, QUEUE, serve, type Payload } from './serve.ts'

// One connection for all; its types know another release of ioredis.
const redis = new Redis({ host: '127.0.0.1', port }) as unknown as NonNullable<ConnectionOptions['redis']>
const connection: ConnectionOptions = { redis, pkg: 'ioredis', namespace: 'nr' }
/** Between two looks at empty queues, ms; its default of 5000 would be no fair latency. */
const POLL_MS = 500

const queue = new Queue({ connection })
await queue.connect()

serve({
  // There is no bulk call.
  fill: async (count) => {
    for (const some of chunks(count, 1000)) await Promise.all(some.map((one) => queue.enqueue(QUEUE, 'Noop', [one])))
  },
  add: (id) => queue.enqueue(QUEUE, 'Noop', [payload(id)]),
  // A worker performs one job at a time: as many of them, in one process, on one connection.
  work: ({ concurrency }, perform) =>
    Promise.all(
      Array.from({ length: concurrency }, async (_, i) => {
        const options = {
          connection,
          queues: (process.env['BENCH_QUEUES'] || QUEUE).split(','),
          timeout: POLL_MS,
          name: `bench:${process.pid}+${i}`,
        }
        const worker = new Worker(options, { Noop: { perform: async ({ id }: Payload) => perform(id) } })
        worker.on('error', (error) => console.error(error))
        await worker.connect()
        await worker.start()
      }),
    ),
})
