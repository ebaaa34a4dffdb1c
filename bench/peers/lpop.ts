import { Redis } from 'ioredis'
import { chunks, payload, port, QUEUE, serve, type Payload } from './serve.ts'

/** The least that a worker can do: take, perform, count. No failure is handled and a crash loses jobs. */
const redis = new Redis({ host: '127.0.0.1', port })

serve({
  fill: async (count) => {
    for (const some of chunks(count, 1000)) await redis.rpush(QUEUE, ...some.map((one) => JSON.stringify(one)))
  },
  add: (id) => redis.rpush(QUEUE, JSON.stringify(payload(id))),
  work: async ({ concurrency }, perform) => {
    const loop = async (): Promise<void> => {
      for (;;) {
        const raw = await redis.lpop(QUEUE)
        if (raw === null) return
        await perform((JSON.parse(raw) as Payload).id)
        await redis.incr('processed')
      }
    }
    for (let i = 0; i < concurrency; i++) void loop()
  },
})
