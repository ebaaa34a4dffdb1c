import { fileURLToPath } from 'node:url'
import { Queue, Worker, type Job } from 'bullmq'
import { chunks, lazily, payload, port, QUEUE, serve, type Payload } from './serve.ts'

const connection = { host: '127.0.0.1', port }
// Events cannot be switched off; trimming their stream to nothing was seen to cost more than leaving it at its default.
const queue = lazily(() => new Queue(QUEUE, { connection }))

/** BullMQ offers no process per job: here a child is killed where it would go back to its pool. */
function withoutReuse(worker: Worker): void {
  const pool = (
    worker as unknown as { childPool: { release(child: unknown): void; kill(child: unknown): Promise<void> } }
  ).childPool
  pool.release = (child) => void pool.kill(child)
}

serve({
  fill: async (count) => {
    for (const some of chunks(count, 1000)) await queue().addBulk(some.map((data) => ({ name: 'Noop', data })))
  },
  add: (id) => queue().add('Noop', payload(id)),
  work: async ({ concurrency, sandbox }, perform) => {
    const processor = sandbox
      ? fileURLToPath(import.meta.resolve('../jobs/bullmq.mjs'))
      : async (job: Job<Payload>) => perform(job.data.id)
    const worker = new Worker(QUEUE, processor, {
      connection,
      concurrency,
      removeOnComplete: { count: 0 },
      autorun: false,
    })
    worker.on('error', (error) => console.error(error))
    if (sandbox === 'fresh') withoutReuse(worker)
    await worker.waitUntilReady()
    void worker.run()
  },
})
