import { settlesWithin, sleep, type Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { parsePayload } from '../queue/payload.ts'
import { promoteDelayed, promoteRetries, type Promoted } from '../queue/promote.ts'
import { createRecoverer } from '../queue/recoverer.ts'
import { look, LOOK_MS } from '../queue/recovery.ts'
import { processes, type Registration } from '../queue/registry.ts'
import type { Patience, Store } from '../redis/store.ts'
import type { WorkerObserver } from '../telemetry/observer.ts'
import { sightOf } from './identity.ts'
import type { ParentHooks } from './parenthooks.ts'

/** How long delayed jobs are left alone after a foreign scheduler was seen leading. Milliseconds. */
const FOREIGN_SCHEDULER_MS = 5000
/** Timers may be a moment early, and Redis' clock, which counts, a moment slow. Milliseconds. */
const SLOW_MS = 5
/** How long the listeners for what one call moved may hold up the next call. Milliseconds. */
const LISTENERS_MS = 5000

/** What every worker does for all: recovers what gone processes held, and moves what is due. No leader is needed. */
export interface Caretaker {
  /** At start: releases predecessors of this instance, and processes of this host whose pid is dead. */
  recoverPredecessors(own: Registration, patience: Patience): Promise<void>
  /**
   * Looks for lapsed leases, at most every two seconds over all workers. To be called at every renewal: one that comes
   * early waits until a look is due, unless another waits or looks already. Never rejects.
   */
  reap(patience: Patience): Promise<void>
  /** Moves due retries and delayed jobs, all that is due. Never rejects. */
  promote(due: { retry: boolean; delayed: boolean }, patience: Patience): Promise<void>
}

export function createCaretaker(
  store: Store,
  options: {
    readonly maxRecoveries: number
    readonly log: Logger
    readonly observer: WorkerObserver
    readonly hooks: ParentHooks
    readonly clock: Clock
    /** Milliseconds; default 5 s. */
    readonly listenersMs?: number
  },
): Caretaker {
  const { maxRecoveries, log, observer, hooks, clock, listenersMs = LISTENERS_MS } = options
  let lastLook = -Infinity
  let looking = false
  let delayedFrom = -Infinity
  let promoting = false

  const recover = createRecoverer(store, { maxRecoveries, log, recovered: (jobs) => observer.recovered(jobs) })

  /**
   * Looks two seconds after the last look was answered. Sooner, Redis would refuse it; left to the next renewal, it
   * could come four seconds after the last.
   */
  const lookInTime = async (patience: Patience): Promise<readonly string[]> => {
    looking = true
    try {
      const early = lastLook + LOOK_MS + SLOW_MS - clock.monotonic()
      if (early > 0) await sleep(early, patience.signal)
      return await look(store, patience)
    } finally {
      lastLook = clock.monotonic()
      looking = false
    }
  }

  /**
   * Tells the listeners of what was moved, one after the other. One that does not settle must not hold up what is due:
   * it is left to itself.
   */
  const tell = async (items: readonly Promoted[], signal: AbortSignal | undefined): Promise<void> => {
    const told = (async () => {
      for (const { queue, raw } of items) {
        const parsed = parsePayload(raw)
        if (parsed.ok) await hooks.tell('beforeDelayedEnqueue', queue, parsed.payload.class, parsed.payload.args)
      }
    })()
    if (await settlesWithin(told, listenersMs, signal)) return
    const waited_s = listenersMs / 1000
    log.error(
      { event: 'beforeDelayedEnqueue', waited_s },
      'listeners do not settle; delayed jobs are moved without them',
    )
  }

  const tellQuarantined = (payloads: number): void => {
    if (payloads > 0) log.error({ payloads }, 'due payloads that no queue takes were put into quarantine')
  }

  const moveRetries = async (patience: Patience): Promise<void> => {
    for (let more = true; more;) {
      const promotion = await promoteRetries(store, patience)
      more = promotion.more
      tellQuarantined(promotion.quarantined)
    }
  }

  const moveDelayed = async (patience: Patience): Promise<void> => {
    if (clock.monotonic() < delayedFrom) return
    for (let more = true; more;) {
      const promotion = await promoteDelayed(store, patience)
      if (promotion.kind === 'locked') {
        delayedFrom = clock.monotonic() + FOREIGN_SCHEDULER_MS
        log.debug({ lock: promotion.by }, 'another scheduler leads; delayed jobs are left to it')
        return
      }
      more = promotion.more
      tellQuarantined(promotion.quarantined)
      if (hooks.has('beforeDelayedEnqueue')) await tell(promotion.items, patience.signal)
    }
  }

  /** What cannot be moved (a key of another type, say) does not keep the rest. */
  const tryTo = async (move: (patience: Patience) => Promise<void>, patience: Patience): Promise<void> => {
    try {
      await move(patience)
    } catch (error) {
      if (patience.signal?.aborted) return
      log.warn({ 'error.message': messageOf(error) }, 'due jobs could not be moved; tried again at the next interval')
    }
  }

  return {
    recoverPredecessors: async (own, patience) => {
      for await (const other of processes(store, patience)) {
        if (other.nonce === own.nonce) continue
        const sight = sightOf(other)
        if (sight === 'dead')
          await recover(other.nonce, { kind: 'dead', registration: JSON.stringify(other) }, patience)
        // A restarted container has a pid namespace of its own: who is alive in ours is a second worker of the same
        // container.
        else if (sight === 'unseen' && own.instance !== '' && other.instance === own.instance)
          await recover(other.nonce, { kind: 'instance', instance: own.instance }, patience)
      }
    },

    reap: async (patience) => {
      if (looking) return
      // The next renewal looks again: looks that insist would pile up while Redis refuses them.
      const brief: Patience = { deadlineMs: LOOK_MS, signal: patience.signal }
      try {
        for (const nonce of await lookInTime(brief)) await recover(nonce, { kind: 'lease' }, brief)
      } catch (error) {
        log.debug({ 'error.message': messageOf(error) }, 'no look at leases')
      }
    },

    promote: async (due, patience) => {
      if (promoting) return
      promoting = true
      if (due.retry) await tryTo(moveRetries, patience)
      if (due.delayed) await tryTo(moveDelayed, patience)
      promoting = false
    },
  }
}
