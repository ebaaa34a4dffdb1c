import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'

/**
 * A line of MONITOR: who sent it, its command, and the first argument. Arguments are escaped, so that a command is one
 * line.
 */
const COMMAND = /^\+[\d.]+ \[\d+ (\S+)\] "([^"]*)"(?: "([^"]*)")?/

/**
 * Commands that clients sent within `ms`, by name, scripts by their digest. What scripts call is not counted, and
 * nothing that `redis` sends. Reads MONITOR itself: the parser of ioredis broke off under the traffic of node-resque.
 */
export async function sentCommands(redis: Redis, ms: number): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  const own = `${redis.stream.localAddress}:${redis.stream.localPort}`
  const socket = connect(redis.options.port ?? 6379, redis.options.host)
  const lines = createInterface(socket)
  socket.write('MONITOR\r\n')
  await once(lines, 'line')
  lines.on('line', (line) => {
    const [, source, command = '', argument] = COMMAND.exec(line) ?? []
    if (source === undefined) throw new Error(`not a line of MONITOR: ${line.slice(0, 100)}`)
    if (source === 'lua' || source === own) return
    const name = command.toLowerCase() === 'evalsha' ? `evalsha ${argument?.slice(0, 8)}` : command.toLowerCase()
    counts.set(name, (counts.get(name) ?? 0) + 1)
  })
  await sleep(ms)
  lines.close()
  socket.destroy()
  return counts
}

/** Connections that are open, beside that of `redis` itself. */
export async function connections(redis: Redis): Promise<number> {
  const own = await redis.client('ID')
  const list = String(await redis.client('LIST'))
  return list.split('\n').filter((line) => line.startsWith('id=') && !line.startsWith(`id=${own} `)).length
}
