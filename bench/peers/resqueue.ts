import { ResQueue } from '../../dist/index.js'
import { payload, port, QUEUE, serve } from './serve.ts'

const queue = new ResQueue({ redis: `redis://127.0.0.1:${port}` })

function* requests(count: number) {
  for (let id = 0; id < count; id++) yield { queue: QUEUE, class: 'Noop', args: [payload(id)] }
}

serve({
  fill: (count) => queue.enqueueBulk(requests(count)),
  add: (id) => queue.enqueue(QUEUE, 'Noop', payload(id)),
})
