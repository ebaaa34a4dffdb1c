import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Line } from '../support/bench.ts'
import { childrenOf, memoryOf } from '../support/memory.ts'
import { median, short } from '../support/numbers.ts'
import { atMost } from '../support/rows.ts'
import { clearStarts, startsUntil } from '../support/starts.ts'
import { startProducer, startWorker, type PeerName, type WorkerPlan } from '../support/workers.ts'

const SLOTS = 4

interface Measured {
  /** Processes that wait for a job, MB of private memory, the median of them. */
  readonly waiting: number
  /** Processes whose job waits for something. */
  readonly busy: number
}

/** Four jobs that wait for ever in four processes, and the processes beside them that wait for a job. */
async function measure(
  { redis, dir }: Bench,
  peer: PeerName,
  plan: Pick<WorkerPlan, 'sandbox' | 'isolation'>,
): Promise<Measured> {
  await redis.flush()
  const starts = join(dir, 'starts')
  clearStarts(starts)
  await using producer = startProducer(peer, redis.port)
  await producer.call('fill', SLOTS)
  await using worker = await startWorker(peer, redis.port, { concurrency: 2 * SLOTS, does: 'hang', starts, ...plan })
  const busy = (await startsUntil(starts, (all) => all.length >= SLOTS, 30_000)).map(({ pid }) => pid)
  await sleep(2000)
  const [first = 0] = busy
  const parent = [worker.pid, ...childrenOf(worker.pid)].find((pid) => childrenOf(pid).includes(first))
  if (parent === undefined) throw new Error(`${peer}: no process of a job was found`)
  const waiting = childrenOf(parent).filter((pid) => !busy.includes(pid) && childrenOf(pid).length === 0)
  const mb = (pids: readonly number[]): number => median(pids.map((pid) => memoryOf(pid).privateMb))
  return { waiting: mb(waiting), busy: mb(busy) }
}

export const t10: Line = {
  id: 'T10',
  title: 'Memory of job processes',
  method:
    "Private_Clean + Private_Dirty of /proc/<pid>/smaps_rollup, MB of 10^6 bytes, the median of four processes and more: those that wait for a job, and those whose job waits. BullMQ starts a process when a job comes, so it has none that wait; its second figure holds BullMQ's own client code, which its children load.",
  measure: async (bench) => {
    const forked: Measured[] = []
    const spawned: Measured[] = []
    const bullmq: Measured[] = []
    for (let round = 0; round < bench.rounds; round++) {
      forked.push(await measure(bench, 'resqueue', { sandbox: 'fresh', isolation: 'fork' }))
      spawned.push(await measure(bench, 'resqueue', { sandbox: 'fresh', isolation: 'spawn' }))
      bullmq.push(await measure(bench, 'bullmq', { sandbox: 'reused' }))
    }
    const told = (all: readonly Measured[]): string =>
      `${short(median(all.map((one) => one.waiting)))} / ${short(median(all.map((one) => one.busy)))}`
    const peers = { 'BullMQ sandbox': told(bullmq) }
    const waiting = (all: readonly Measured[]): number => median(all.map((one) => one.waiting))
    return [
      {
        line: 'T10',
        figure: 'private memory, forked: waits for a job / its job waits, MB',
        ours: told(forked),
        peers,
        checks: [atMost('MB', waiting(forked), { must: 3, aim: 1 })],
      },
      {
        line: 'T10',
        figure: 'private memory, spawned: waits for a job / its job waits, MB',
        ours: told(spawned),
        peers,
        checks: [atMost('MB', waiting(spawned), { must: 12 })],
      },
    ]
  },
}
