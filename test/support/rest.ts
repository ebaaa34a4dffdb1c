import type { Redis } from 'ioredis'
import { takeAccount, type Account, type Ledger } from './ledger.ts'
import type { Request } from './proxy.ts'
import type { Worker } from './workers.ts'
import { PATIENCE_MS, waitFor } from './wait.ts'

/** Waits until no job waits, runs or is to be retried, and takes account. */
export async function accountAtRest(
  redis: Redis,
  ns: string,
  ledger: Ledger,
  timeoutMs = PATIENCE_MS,
): Promise<Account> {
  let left: Readonly<Record<string, number>> = {}
  return waitFor(
    async () => {
      // An account reads every job there is: it is taken when there seems to be none.
      left = await countLeft(redis, ns)
      if (Object.values(left).some((jobs) => jobs > 0)) return false
      const account = await takeAccount(redis, ns, ledger)
      return account.waiting.size + account.held.size + account.retried.size === 0 && account
    },
    { timeoutMs, everyMs: 100, describe: () => `rest: ${JSON.stringify({ left, ended: ledger.of('end').length })}` },
  )
}

/** How many jobs wait, run and are to be retried. */
async function countLeft(redis: Redis, ns: string): Promise<Readonly<Record<string, number>>> {
  const sum = (counts: readonly number[]): number => counts.reduce((all, one) => all + one, 0)
  const queues = await redis.smembers(`${ns}:queues`)
  const nonces = await redis.hkeys(`${ns}:ext:processes`)
  const records = await Promise.all(nonces.map((nonce) => recordsOf(redis, ns, nonce)))
  return {
    waiting: sum(await Promise.all(queues.map((queue) => redis.llen(`${ns}:queue:${queue}`)))),
    held: sum(records.map((fields) => Object.keys(fields).length)),
    retried: await redis.zcard(`${ns}:ext:retry`),
  }
}

/** A queue's flow: reservations, ends, put-backs. */
export async function flowOf(
  redis: Redis,
  ns: string,
  queue: string,
): Promise<{ started: number; ended: number; returned: number }> {
  const [started = 0, ended = 0, returned = 0] = ((await redis.get(`${ns}:ext:flow:${queue}`)) ?? '')
    .split(' ')
    .map(Number)
  return { started, ended, returned }
}

/** Records that Redis keeps for a worker: slot → record. */
export async function recordsOf(redis: Redis, ns: string, nonce: string): Promise<Record<string, string>> {
  const fields = await redis.hgetall(`${ns}:ext:inflight:${nonce}`)
  return Object.fromEntries(Object.entries(fields).filter(([field]) => /^\d+$/.test(field)))
}

/** How often the workers were taken for dead. */
export function fencings(workers: readonly Worker[]): number {
  return workers.reduce((sum, { log }) => sum + log.filter(({ msg }) => msg.includes('taken for dead')).length, 0)
}

/** Whether any worker released another one. */
export function releases(workers: readonly Worker[]): number {
  return workers.reduce(
    (sum, { log }) => sum + log.filter(({ msg }) => msg.includes('released a gone worker')).length,
    0,
  )
}

/** Whether a request is a worker's turn: its reservations and ends. A renewal has less to say. */
export function isTurn({ name, args }: Request): boolean {
  return name.startsWith('EVAL') && args.length > 17
}
