import { sleep } from '../clock.ts'
import { maxRecoveries } from '../config.ts'
import { ResQueueError } from '../errors.ts'
import { LOOK_MS, look, release, type ReleaseReason } from '../queue/recovery.ts'
import { processes } from '../queue/registry.ts'
import { listWorkers, type WorkerProcess } from '../queue/workers.ts'
import { pagesOf } from '../redis/pages.ts'
import type { Store } from '../redis/store.ts'
import { sightOf } from '../worker/identity.ts'
import { plural } from '../wording.ts'
import { answers } from './checks/finding.ts'
import { dryRun } from './options.ts'
import { strayIds } from './strays.ts'
import type { Context } from './verb.ts'

/**
 * Without a release for so long, no more comes: after a stop of Redis nobody is reaped for six seconds, and then two looks
 * are needed. Milliseconds.
 */
const PATIENCE_MS = 12_000

/** Releases dead processes of ours, as workers do for each other, and removes display entries that nobody owns. */
export async function prune(context: Context): Promise<number> {
  const { get, output, signal } = context
  const store = await context.store()
  const everyone = await listWorkers(store, { limit: Number.MAX_SAFE_INTEGER })
  const dead = everyone.filter((worker): worker is WorkerProcess => worker.kind === 'process' && !worker.alive)
  const strays = await strayIds(store)
  if (get(dryRun)) {
    if (dead.length + strays.length === 0) output.note('No worker looks dead.')
    output.each([
      ...dead.map((worker): [string, unknown] => [
        `${worker.id} (${worker.host}, pid ${worker.pid}): looks dead, holds ${plural(worker.running.length, 'job')}`,
        { id: worker.id, host: worker.host, pid: worker.pid, jobs: worker.running.length },
      ]),
      ...strays.map((id): [string, unknown] => [`${id}: no process behind it`, { id, host: null, pid: null, jobs: 0 }]),
    ])
    return 0
  }
  const total = { workers: 0, put_back: 0, failed: 0, quarantined: 0, stray_registrations: 0 }
  let code = 0
  // What Redis refuses of one must not keep the others from their turn.
  const tell = (what: string, error: unknown): void => {
    if (!(error instanceof ResQueueError) || error.code === 'REDIS_UNAVAILABLE') throw error
    output.note(`${what}: ${error.message.replace(/\.$/, '')}. Mend this and prune again`)
    code = error.exitCode
  }
  const refused = new Set<string>()
  const bury = async (nonce: string, reason: ReleaseReason): Promise<void> => {
    if (refused.has(nonce)) return
    try {
      const result = await release(store, nonce, reason, get(maxRecoveries))
      if (result.kind !== 'released') return
      total.workers++
      total.put_back += result.back
      total.failed += result.failed
      total.quarantined += result.quarantined
    } catch (error) {
      refused.add(nonce)
      tell(`Worker ${nonce} was left with what ${store.keys.inflight(nonce)} holds`, error)
    }
  }
  // On this machine a pid can be judged at once.
  for await (const registration of processes(store)) {
    if (sightOf(registration) === 'dead')
      await bury(registration.nonce, { kind: 'dead', registration: JSON.stringify(registration) })
  }
  const suspects = dead.map(({ id }) => id)
  const left = await buryLapsed(store, () => suspects.filter((nonce) => !refused.has(nonce)), bury, signal)
  if (left > 0 && !signal.aborted) {
    output.note(`${plural(left, 'dead worker')} could not be removed yet: prune again`)
    code = 1
  }
  try {
    for (const id of strays) {
      if (signal.aborted) break
      total.stray_registrations += await removeStray(store, id)
    }
  } catch (error) {
    tell('Stray registrations were left', error)
  }
  output.done(
    `${plural(total.workers, 'dead worker')} removed; ${plural(total.put_back, 'job')} put back, ${total.failed} failed, ${total.quarantined} quarantined; ${plural(total.stray_registrations, 'stray registration')} removed`,
    total,
  )
  return code
}

/** Looks until all suspects are released, proved alive or given up, or patience ends; returns how many are left. */
async function buryLapsed(
  store: Store,
  suspects: () => readonly string[],
  bury: (nonce: string, reason: ReleaseReason) => Promise<void>,
  signal: AbortSignal,
): Promise<number> {
  let until = performance.now() + PATIENCE_MS
  let before = Infinity
  for (;;) {
    const left = await lapsed(store, suspects())
    if (left < before) until = performance.now() + PATIENCE_MS
    before = left
    if (left === 0 || signal.aborted || performance.now() >= until) return left
    for (const nonce of await look(store)) {
      if (signal.aborted) break
      await bury(nonce, { kind: 'lease' })
    }
    await sleep(LOOK_MS + 100, signal).catch(() => undefined)
  }
}

/** How many of some processes are registered without a lease. */
async function lapsed(store: Store, nonces: readonly string[]): Promise<number> {
  let found = 0
  for (const page of pagesOf(nonces)) {
    const replies = await answers(store, [
      ['hmget', store.keys.processes, ...page],
      ...page.map((nonce): [string, string] => ['exists', store.keys.lease(nonce)]),
    ])
    const [registered, ...leases] = replies as [(string | null)[], ...number[]]
    found += page.filter((_, i) => registered[i] !== null && leases[i] === 0).length
  }
  return found
}

/** Removes a display entry; returns how many there were: 0 where somebody else was faster. */
async function removeStray(store: Store, id: string): Promise<number> {
  const { keys } = store
  const [removed] = await answers(store, [
    ['srem', keys.workers, id],
    ['hdel', keys.heartbeat, id],
    ['del', keys.worker(id)],
    ['del', keys.workerStarted(id)],
    ['del', keys.stat(`processed:${id}`)],
    ['del', keys.stat(`failed:${id}`)],
  ])
  return removed as number
}
