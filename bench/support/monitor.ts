import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'

/** Commands that clients sent within `ms`, by name, scripts by their digest. What scripts call is not counted, and nothing that `redis` sends. */
export async function sentCommands(redis: Redis, ms: number): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  const own = redis.stream.localAddress === undefined ? '' : `${redis.stream.localAddress}:${redis.stream.localPort}`
  const monitor = await redis.monitor()
  const listen = (_time: string, args: string[], source: string): void => {
    if (source === 'lua' || source === own) return
    const command = (args[0] ?? '').toLowerCase()
    const name = command === 'evalsha' ? `evalsha ${args[1]?.slice(0, 8)}` : command
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  monitor.on('monitor', listen)
  await sleep(ms)
  monitor.disconnect()
  return counts
}

/** Connections that are open, beside that of `redis` itself. */
export async function connections(redis: Redis): Promise<number> {
  const own = await redis.client('ID')
  const list = String(await redis.client('LIST'))
  return list.split('\n').filter((line) => line.startsWith('id=') && !line.startsWith(`id=${own} `)).length
}
