import type { Redis } from 'ioredis'
import { payloadOf } from './process-model.ts'

/** Every payload that Redis holds anywhere in a namespace, sorted: what must be conserved. */
export async function payloads(redis: Redis, ns: string, queues: readonly string[] = ['q']): Promise<string[]> {
  const found: string[] = []
  const read = async (key: string, type: string, get: () => Promise<string[]>): Promise<void> => {
    if ((await redis.type(key)) === type) found.push(...(await get()))
  }
  for (const queue of queues)
    await read(`${ns}:queue:${queue}`, 'list', () => redis.lrange(`${ns}:queue:${queue}`, 0, -1))
  await read(`${ns}:failed`, 'list', async () =>
    (await redis.lrange(`${ns}:failed`, 0, -1))
      .filter((entry) => entry.startsWith('{'))
      .map((entry) => JSON.stringify((JSON.parse(entry) as { payload: unknown }).payload)),
  )
  await read(`${ns}:ext:quarantine`, 'list', async () =>
    (await redis.lrange(`${ns}:ext:quarantine`, 0, -1)).map((entry) => entry.slice(entry.indexOf('{'))),
  )
  await read(`${ns}:ext:retry`, 'zset', async () =>
    (await redis.zrange(`${ns}:ext:retry`, '0', '-1')).map((member) => member.slice(member.indexOf('{'))),
  )
  for (const nonce of Object.keys(await redis.hgetall(`${ns}:ext:processes`).catch(() => ({})))) {
    await read(`${ns}:ext:inflight:${nonce}`, 'hash', async () =>
      Object.entries(await redis.hgetall(`${ns}:ext:inflight:${nonce}`))
        .filter(([slot]) => /^\d+$/.test(slot))
        .map(([, record]) => record.slice(record.indexOf('{'))),
    )
  }
  return found.filter((raw) => raw.startsWith('{')).sort()
}

/** Redis' time, ms. */
export async function clock(redis: Redis): Promise<number> {
  const [seconds, micros] = await redis.time()
  return Number(seconds) * 1000 + Number(micros) / 1000
}

/** Puts numbered payloads into a queue and returns them. */
export async function fill(redis: Redis, ns: string, from: number, to: number, queue = 'q'): Promise<string[]> {
  const jobs = Array.from({ length: to - from }, (_, i) => payloadOf(from + i))
  if (jobs.length > 0) await redis.rpush(`${ns}:queue:${queue}`, ...jobs)
  await redis.sadd(`${ns}:queues`, queue)
  return jobs
}
