import type { Redis } from 'ioredis'

/**
 * What Ruby Resque does with a worker that it takes for dead: fails the job that the worker's key names, decoded and
 * encoded again, and removes the worker.
 */
export async function pruneLikeRuby(redis: Redis, ns: string, id: string): Promise<void> {
  await redis.smembers(`${ns}:workers`)
  await redis.hgetall(`${ns}:workers:heartbeat`)
  const busy = await redis.get(`${ns}:worker:${id}`)
  if (busy) {
    const { queue, payload } = JSON.parse(busy) as { queue: string; payload: unknown }
    const entry = {
      failed_at: new Date().toISOString().slice(0, 19).replaceAll('-', '/').replace('T', ' ') + ' UTC',
      payload,
      exception: 'Resque::PruneDeadWorkerDirtyExit',
      error: `Worker ${id} did not gracefully exit while processing ${(payload as { class: string }).class}`,
      backtrace: [],
      worker: id,
      queue,
    }
    await redis.rpush(`${ns}:failed`, JSON.stringify(entry))
  }
  await redis
    .pipeline()
    .srem(`${ns}:workers`, id)
    .del(`${ns}:worker:${id}`)
    .del(`${ns}:worker:${id}:started`)
    .hdel(`${ns}:workers:heartbeat`, id)
    .exec()
  await redis.del(`${ns}:stat:processed:${id}`)
  await redis.del(`${ns}:stat:failed:${id}`)
}

/**
 * What php-resque does with a worker of its host whose pid `ps` does not show: removes it and says nothing of its job.
 */
export async function pruneLikePhp(redis: Redis, ns: string, id: string): Promise<void> {
  await redis.smembers(`${ns}:workers`)
  await redis.srem(`${ns}:workers`, id)
  await redis.del(`${ns}:worker:${id}`)
  await redis.del(`${ns}:worker:${id}:started`)
  await redis.del(`${ns}:stat:processed:${id}`)
  await redis.del(`${ns}:stat:failed:${id}`)
}
