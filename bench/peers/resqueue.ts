import { ResQueue } from '../../dist/index.js'
import { chunks, payload, port, QUEUE, serve } from './serve.ts'

const queue = new ResQueue({ redis: `redis://127.0.0.1:${port}` })

serve({
  fill: async (count) => {
    for (const some of chunks(count, 1000))
      await queue.enqueueBulk(some.map((args) => ({ queue: QUEUE, class: 'Noop', args: [args] })))
  },
  add: (id) => queue.enqueue(QUEUE, 'Noop', payload(id)),
})
