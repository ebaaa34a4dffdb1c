import { join } from 'node:path'
import type { Bench } from './bench.ts'
import { cpuOf } from './memory.ts'
import { median, short } from './numbers.ts'
import { clearStarts, startsUntil } from './starts.ts'
import { startProducer, startWorker, type PeerName } from './workers.ts'

/** A way to run jobs in processes of their own. */
export interface Sandbox {
  readonly title: string
  readonly peer: PeerName
  readonly sandbox: 'fresh' | 'reused'
  readonly isolation?: 'fork' | 'spawn'
  readonly concurrency: number
  /** About jobs per second: decides how many make a run of six seconds. */
  readonly expected: number
}

export const SPAWN: Sandbox = {
  title: 'ResQueue spawn',
  peer: 'resqueue',
  sandbox: 'fresh',
  isolation: 'spawn',
  concurrency: 2,
  expected: 40,
}
export const FORK: Sandbox = {
  title: 'ResQueue fork',
  peer: 'resqueue',
  sandbox: 'fresh',
  isolation: 'fork',
  concurrency: 2,
  expected: 400,
}
export const BULLMQ: Sandbox = {
  title: 'BullMQ sandbox without reuse',
  peer: 'bullmq',
  sandbox: 'fresh',
  concurrency: 2,
  expected: 22,
}

const SECONDS = 6

/** Jobs per second of each, round by round; a run is measured once for all lines that ask. */
export async function measureSandboxes(bench: Bench, sandboxes: readonly Sandbox[]): Promise<number[][]> {
  const rates = sandboxes.map((): number[] => [])
  for (let round = 0; round < bench.rounds; round++) {
    for (const [i, sandbox] of sandboxes.entries()) {
      const { rate, cpuMs } = await measureSandbox(bench, sandbox)
      rates[i]?.push(rate)
      bench.say(
        `${sandbox.title}, ${sandbox.concurrency} at once: ${short(rate)} jobs/s, ${short(cpuMs)} ms of CPU a job`,
      )
    }
  }
  return rates
}

interface Run {
  readonly rate: number
  /** CPU of the worker and all its processes a job, their start included. */
  readonly cpuMs: number
}

async function measureSandbox({ redis, dir, size }: Bench, { peer, expected, ...plan }: Sandbox): Promise<Run> {
  await redis.flush()
  const starts = join(dir, 'starts')
  clearStarts(starts)
  const total = size(expected * SECONDS)
  {
    await using producer = startProducer(peer, redis.port)
    await producer.call('fill', total)
  }
  await using worker = await startWorker(peer, redis.port, { ...plan, does: 'note', starts })
  const seen = await startsUntil(starts, (all) => all.length >= total, 120_000, 250)
  if (seen.length !== total) throw new Error(`${peer} began ${seen.length} of ${total} jobs`)
  if (plan.sandbox === 'fresh' && new Set(seen.map(({ pid }) => pid)).size !== total)
    throw new Error(`${peer} used a process twice`)
  const cpu = cpuOf(worker.pid)
  const times = seen.map(({ at }) => Number(at)).sort((a, b) => a - b)
  const warm = Math.floor(total / 4)
  return {
    rate: (total - 1 - warm) / (((times.at(-1) ?? 0) - (times[warm] ?? 0)) / 1e9),
    cpuMs: (cpu / total) * 1000,
  }
}

export function rateOf(rates: readonly number[] | undefined): string {
  return short(median(rates ?? []))
}
