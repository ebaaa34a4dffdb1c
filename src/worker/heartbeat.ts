import type { Clock } from '../clock.ts'
import type { Registration } from '../queue/registry.ts'
import { renew, type RenewReply } from '../queue/renew.ts'
import type { Patience, Store } from '../redis/store.ts'

/**
 * At least this often a lease is renewed. Lease 8 s, renewal 2 s, looks 2 s: see docs/protocol.md before changing one.
 */
const RENEW_MS = 2000
/** Between two heartbeats for the family, whose prune interval is 300 s. */
const BEAT_MS = 10_000

export interface HeartbeatOptions {
  readonly store: Store
  readonly clock: Clock
  readonly intervalMs: number
  readonly drainMark: string
  readonly patience: Patience
  process(): Registration
  /** Whether a job could be taken now. */
  able(): boolean
  /** Queues to look at now, none while nothing could be taken. */
  look(): readonly string[]
  /** Absolute per-worker statistics that changed since the last call. */
  statistics(): readonly (readonly [string, number, number])[]
  /** Before each renewal; the returned function gets its reply. */
  renewing(): (reply: RenewReply) => void
  broken(error: unknown): void
}

export interface Heartbeat {
  /** A slot has become idle: the next look comes within `intervalMs`, however far off it was planned. */
  idle(): void
  /** To be called behind the farewell: until then others must not take us for dead. */
  stop(): void
}

/** Renews the lease and looks for work: every `intervalMs` while idle, at least every two seconds. */
export function startHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { store, clock, intervalMs, patience } = options
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let due = Infinity
  let lastBeat = -Infinity
  let lastLook = -Infinity

  const plan = (ms: number): void => {
    clearTimeout(timer)
    due = clock.monotonic() + ms
    timer = setTimeout(() => void beat(), ms)
  }

  const beat = async (): Promise<void> => {
    due = -Infinity
    const began = clock.monotonic()
    const looking = began - lastLook >= intervalMs * 0.9
    const queues = looking ? options.look() : []
    if (looking) lastLook = began
    const withBeat = began - lastBeat >= BEAT_MS
    try {
      const told = options.renewing()
      const renewal = { beat: withBeat, statistics: options.statistics(), look: queues, drainMark: options.drainMark }
      const reply = await renew(store, options.process(), renewal, patience)
      if (stopped) return
      if (withBeat && reply.kind === 'ok') lastBeat = began
      told(reply)
    } catch (error) {
      if (stopped || patience.signal?.aborted) return
      options.broken(error)
    }
    if (stopped) return
    const period = options.able() ? Math.min(intervalMs, RENEW_MS) : RENEW_MS
    plan(Math.max(period - (clock.monotonic() - began), 10))
  }
  void beat()

  return {
    idle: () => {
      if (!stopped && due > clock.monotonic() + intervalMs) plan(intervalMs)
    },
    stop: () => {
      stopped = true
      clearTimeout(timer)
    },
  }
}
