import type { Redis } from 'ioredis'
import { takeAccount, type Account, type Ledger } from './ledger.ts'
import type { Request } from './proxy.ts'
import type { Worker } from './workers.ts'
import { waitFor } from './wait.ts'

/** Waits until no job waits, runs or is to be retried, and takes account. */
export async function accountAtRest(redis: Redis, ns: string, ledger: Ledger, timeoutMs = 60_000): Promise<Account> {
  let account: Account | undefined
  return waitFor(
    async () => {
      account = await takeAccount(redis, ns, ledger)
      return account.waiting.size + account.held.size + account.retried.size === 0 && account
    },
    {
      timeoutMs,
      everyMs: 100,
      describe: () =>
        `rest: ${account?.waiting.size} wait, ${account?.held.size} are held, ${account?.retried.size} are to be retried, ${account?.performed.size} were performed`,
    },
  )
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
