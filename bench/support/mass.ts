import type { Redis } from 'ioredis'

const PER_CALL = 1000

/** A payload as ResQueue's client writes it. */
function payload(i: number): string {
  const id = i.toString(16).padStart(32, '0')
  return `{"class":"Noop","args":[{"id":"${i}","name":"a name of some length"}],"id":"${id}","prefix":"","queue_time":1795371757.491}`
}

function failure(i: number): string {
  const error = `"exception":"Error","error":"the upstream answered ${400 + (i % 200)}","backtrace":["Error: no","    at perform (jobs.js:1:1)"]`
  return `{"failed_at":"2026/11/23 10:00:00 UTC","payload":${payload(i)},${error},"worker":"host:1:bench","queue":"q${i % 100}"}`
}

/** Fills Redis with waiting jobs, spread over queues `q0`, `q1`, …, and with failed ones. */
export async function fillMass(
  redis: Redis,
  { waiting, queues, failed }: { waiting: number; queues: number; failed: number },
): Promise<void> {
  const each = Math.floor(waiting / queues)
  for (let queue = 0; queue < queues; queue++) {
    const jobs = Array.from({ length: each }, (_, i) => payload(queue * each + i))
    const added = redis
      .pipeline()
      .sadd('resque:queues', `q${queue}`)
      .rpush(`resque:queue:q${queue}`, ...jobs)
    await added.exec()
  }
  for (let at = 0; at < failed; at += PER_CALL) {
    await redis.rpush(
      'resque:failed',
      ...Array.from({ length: Math.min(PER_CALL, failed - at) }, (_, i) => failure(at + i)),
    )
  }
}
