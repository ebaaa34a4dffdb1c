import type { Redis } from 'ioredis'

/** What Redis has counted since its counters were reset. */
export interface Counters {
  /** All commands, those inside scripts included. */
  readonly commands: number
  readonly reads: number
  /** Seconds of CPU, user and system. */
  readonly cpu: number
}

/** Commands of the benchmark itself. */
const OURS = new Set(['info', 'config|resetstat', 'flushall', 'script|flush', 'ping', 'client|list', 'client|setname'])

/** Reads the counters; the call itself is not in `commands`. */
export async function readCounters(redis: Redis): Promise<Counters> {
  const [commands, stats, cpu] = await Promise.all([redis.info('commandstats'), redis.info('stats'), redis.info('cpu')])
  let sum = 0
  for (const [, name = '', calls] of commands.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm))
    if (!OURS.has(name)) sum += Number(calls)
  return {
    commands: sum,
    reads: field(stats, 'total_reads_processed'),
    cpu: field(cpu, 'used_cpu_user') + field(cpu, 'used_cpu_sys'),
  }
}

/** Bytes that Redis has allocated. */
export async function usedMemory(redis: Redis): Promise<number> {
  return field(await redis.info('memory'), 'used_memory')
}

function field(info: string, name: string): number {
  return Number(new RegExp(`^${name}:([0-9.]+)`, 'm').exec(info)?.[1])
}
