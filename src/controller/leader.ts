import { sleep, systemClock, type Clock } from '../clock.ts'
import { defined } from '../defined.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { ApiServer } from './apiserver.ts'
import { getLease, writeLease, type Lease } from './leases.ts'
import { microTime } from './times.ts'

/** How long others respect a lease that is not renewed. Milliseconds. */
const LEASE_MS = 15_000
/** After this long without a renewal a leader gives up: less than the lease. Milliseconds. */
const RENEW_DEADLINE_MS = 10_000
/** Between two tries. Milliseconds. */
const RETRY_MS = 2000
/** How long one request may take: a second one fits into the deadline. Milliseconds. */
const TIMEOUT_MS = 5000

export interface LeaderOptions {
  readonly api: ApiServer
  readonly namespace: string
  readonly name: string
  /** Who we are: different in every process. */
  readonly identity: string
  readonly log: Logger
  readonly clock?: Clock
}

/** A time of leadership. */
export interface Term {
  /** Begins with the identity; no other term of any process has it. */
  readonly token: string
  /** Monotonic ms at which it began. */
  readonly since: number
  /** Aborts when leadership is lost or given back. */
  readonly signal: AbortSignal
  /**
   * Whether we may write at this instant: the last renewal is younger than the deadline, by the monotonic clock, which
   * goes on while the process is stopped. To be asked right before each write.
   */
  readonly valid: () => boolean
}

/** How an election ended: the signal aborted, or leadership was lost. */
export type ElectionEnd = 'stopped' | 'lost'

/**
 * Waits for the Lease, leads while it can be renewed, and gives it back at the end. Expiry is judged by how long the
 * record was seen unchanged here, never by the holder's clock. `lead` begins a term and must end soon after its signal
 * aborts; then the lease is released if it is still ours. Where it ends before, leadership is lost.
 */
export async function elect(
  options: LeaderOptions,
  lead: (term: Term) => Promise<void>,
  signal: AbortSignal,
): Promise<ElectionEnd> {
  const { api, namespace, name, identity, log, clock = systemClock } = options
  let seen: { text: string; at: number } | undefined
  let held: Lease | undefined
  let renewedAt = -Infinity

  const record = (from: Lease | undefined, holder: string): Lease => {
    const now = microTime(clock.now())
    const same = from?.spec.holderIdentity === identity && holder === identity
    const transitions = (from?.spec.leaseTransitions ?? 0) + (from && !same && holder !== '' ? 1 : 0)
    return {
      metadata: { name, namespace, ...defined({ resourceVersion: from?.metadata.resourceVersion }) },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: holder === '' ? 1 : LEASE_MS / 1000,
        acquireTime: same && from.spec.acquireTime !== undefined ? from.spec.acquireTime : now,
        renewTime: now,
        leaseTransitions: transitions,
      },
    }
  }

  /** One look, and a write where the lease is ours, free or expired. Returns whether we hold it now. */
  const tryOnce = async (): Promise<boolean> => {
    // Counted from before the request: what others see as the renewal is later than that.
    const sentAt = clock.monotonic()
    const write = async (from: Lease | undefined): Promise<boolean> => {
      const reply = await writeLease(api, record(from, identity), TIMEOUT_MS)
      if (reply.kind !== 'ok') return false
      held = reply.lease
      renewedAt = sentAt
      return true
    }
    // The lease as we wrote it last: usually nobody touched it since.
    if (held && (await write(held))) return true
    const reply = await getLease(api, namespace, name, TIMEOUT_MS)
    if (reply.kind === 'absent') return write(undefined)
    if (reply.kind !== 'ok') return false
    const { lease } = reply
    const holder = lease.spec.holderIdentity ?? ''
    if (holder !== '' && holder !== identity) {
      const text = JSON.stringify([lease.spec, lease.metadata.resourceVersion])
      if (seen?.text !== text) seen = { text, at: clock.monotonic() }
      const respectedMs = (lease.spec.leaseDurationSeconds ?? LEASE_MS / 1000) * 1000
      if (clock.monotonic() - seen.at < respectedMs) {
        held = undefined
        return false
      }
    }
    held = undefined
    return write(lease)
  }

  while (!signal.aborted) {
    const got = await tryOnce().catch((error: unknown) => {
      log.warn({ 'error.message': messageOf(error) }, 'the lease cannot be had; tried again')
      return false
    })
    if (!got) {
      await sleep(RETRY_MS * (1 + Math.random() * 0.2), signal).catch(() => undefined)
      continue
    }
    const over = new AbortController()
    const transitions = held?.spec.leaseTransitions ?? 0
    const acquired = held?.spec.acquireTime ?? ''
    const term: Term = {
      token: `${identity}/${transitions}/${Date.parse(acquired)}`,
      since: clock.monotonic(),
      signal: AbortSignal.any([signal, over.signal]),
      valid: () => !over.signal.aborted && clock.monotonic() - renewedAt < RENEW_DEADLINE_MS,
    }
    log.info({ lease: `${namespace}/${name}`, identity, term: transitions }, 'leading')
    // A lease that is renewed for nobody would keep others from leading.
    const led = lead(term)
      .catch((error: unknown) => log.error({ 'error.message': messageOf(error) }, 'leading ended with an error'))
      .finally(() => over.abort(new Error('leading has ended')))
    while (!term.signal.aborted) {
      await sleep(RETRY_MS, term.signal).catch(() => undefined)
      if (term.signal.aborted || !term.valid()) break
      const renewed = await tryOnce().catch((error: unknown) => {
        log.warn({ 'error.message': messageOf(error) }, 'the lease could not be renewed; tried again')
        return undefined
      })
      // A rival holds it, which can only be after ours expired.
      if (renewed === false && held === undefined) break
    }
    const lost = !signal.aborted
    over.abort(new Error(lost ? 'leadership was lost' : 'leadership was given back'))
    await led
    if (lost) return 'lost'
    if (held) {
      const ours = held
      await writeLease(api, record(ours, ''), 3000).catch(() => undefined)
      log.info({ lease: `${namespace}/${name}` }, 'lease released')
    }
  }
  return 'stopped'
}
