import BeeQueue from 'bee-queue'
import { chunks, lazily, payload, port, QUEUE, serve, type Payload } from './serve.ts'

const settings = {
  redis: { host: '127.0.0.1', port },
  sendEvents: false,
  getEvents: false,
  storeJobs: false,
  removeOnSuccess: true,
}
const queue = lazily(() => new BeeQueue<Payload>(QUEUE, { ...settings, isWorker: false }))

serve({
  fill: async (count) => {
    for (const some of chunks(count, 1000)) await queue().saveAll(some.map((data) => queue().createJob(data)))
  },
  add: (id) => queue().createJob(payload(id)).save(),
  work: async ({ concurrency }, perform) => {
    const worker = new BeeQueue<Payload>(QUEUE, settings)
    await worker.ready()
    worker.process(concurrency, async (job) => perform(job.data.id))
    // Without this nobody looks for stalled jobs; it goes on every five seconds.
    worker.checkStalledJobs(5000, () => undefined)
  },
})
