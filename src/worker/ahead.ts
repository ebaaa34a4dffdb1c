import { turnOnToken, type Held, type TurnReply } from '../queue/turn.ts'
import type { Store } from '../redis/store.ts'
import type { Slots } from './slots.ts'
import { isStale, type TurnOptions } from './turnoptions.ts'

/** Waits on a blocking connection. Rejects where waiting is refused, or when `signal` aborts. */
export type Ahead = (
  blocking: Store,
  wait: { readonly queues: readonly string[]; readonly seconds: number },
  signal: AbortSignal,
) => Promise<void>

/** What the turn behind a token needs of the loop beside which it runs. */
export interface Beside {
  /** Changes with every registration: answers to what was asked before are of no use. */
  readonly era: number
  readonly stopped: boolean
  /** Before anything is done about an answer. */
  answered(): void
  begin(held: Held): void
  /** It goes back in front of its queue, uncounted. */
  giveBack(held: Held): void
  wake(queue: string): void
  gone(): void
  stopFor(error: unknown): void
}

/**
 * The turn behind a token: it is sent with the wait, asks for jobs for all slots that are idle then, and is performed
 * at the instant the wait ends. docs/protocol.md, "A turn behind the token".
 */
export function createAhead(options: TurnOptions, slots: Slots, loop: Beside): Ahead {
  /** Slots that were idle when it was asked may have got jobs from other turns by now, and even have ended them. */
  const take = (reply: TurnReply & { kind: 'ok' }, token: string, base: number, wanted: number): void => {
    loop.answered()
    const news = reply.held.filter(({ slot, claim }) => slots.isNews(slot, claim))
    const got = news.filter(({ claim }) => claim >= base)
    const stale = isStale(reply, options.clock)
    for (const held of news) {
      // It was asked for before this worker itself was told to take no more; what was granted before others paused or
      // drained it runs.
      if (!options.willing()) loop.giveBack(held)
      else if (!stale) loop.begin(held)
    }
    // What its token stood for was handed out, unless the slots were filled by others.
    const served = reply.state === '' && !stale && (got.length < wanted || got.some(({ queue }) => queue === token))
    if (reply.more || (stale && news.length > 0) || (token !== '' && !served)) loop.wake(token)
    const { state, more, quarantined, pausedQueues } = reply
    options.turned({ state, more, quarantined, pausedQueues, wanted, got: got.length })
  }

  return async (blocking, wait, signal) => {
    const idle = options.limited ? [] : slots.idle(slots.all, Infinity)
    const base = slots.numberAhead(idle.length)
    const { drainMark, maxRecoveries } = options
    const asked = { ends: [], next: 0, idle, base, queues: options.queues(), wokenBy: '', ring: true }
    const era = loop.era
    const { token, reply, refused } = await turnOnToken(
      blocking,
      options.process(),
      { ...asked, drainMark, maxRecoveries },
      wait,
      { deadlineMs: Infinity, signal, stubborn: true, rotation: true },
    )
    if (era === loop.era && !loop.stopped) {
      slots.passAhead()
      if (!reply) loop.wake(token)
      else if (reply.kind === 'gone') loop.gone()
      else {
        try {
          take(reply, token, base, idle.length)
        } catch (error) {
          loop.stopFor(error)
        }
      }
    }
    if (refused) throw refused
  }
}
