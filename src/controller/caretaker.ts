import { systemClock, type Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { promoteDelayed, promoteRetries } from '../queue/promote.ts'
import { createRecoverer } from '../queue/recoverer.ts'
import { look, LOOK_MS } from '../queue/recovery.ts'
import type { Patience } from '../redis/store.ts'
import type { Connection } from './connections.ts'
import { isOver, type Pod } from './pods.ts'
import type { PodSource } from './podwatch.ts'
import type { ProcessView, RedisView, Viewer } from './view.ts'

/** A worker renews every two seconds: after this long without a renewal it has missed one. Milliseconds. */
const MISSED_MS = 3000
/** Jobs are moved by the workers; what is due for this long is moved here, because nobody else does. Milliseconds. */
const OVERDUE_MS = 2000

/** From one look to the next where gone workers are still tended. Milliseconds. */
const TEND_MS = 400

const PATIENCE: Patience = { deadlineMs: 2000 }

/** Looks after what workers that are gone have left behind, in one Redis. */
export interface Caretaker {
  /**
   * To be called after each look. Returns whether something may be had soon: look again within half a second. Never
   * rejects.
   */
  tend(view: RedisView): Promise<boolean>
}

/**
 * The jobs of a pod that is gone, or of a container that has ended, go back as soon as its lease has missed one
 * renewal: a pod that is gone is not a process that is gone, so the lease has the last word. Leases that lapsed are
 * looked for as workers do, and what is due is moved, for the time when there are no workers.
 */
export function createCaretaker(
  connection: Connection,
  podsOf: (namespace: string) => PodSource | undefined,
  log: Logger,
  recovered: (jobs: number) => void,
  clock: Clock = systemClock,
): Caretaker {
  const { store, maxRecoveries } = connection
  let lastLook = -Infinity
  let lastPromotion = -Infinity
  let tending = false

  const recover = createRecoverer(store, {
    maxRecoveries,
    log: log.child({ connection: connection.name }),
    recovered,
  })

  /** Both kinds are tried, whatever becomes of the other. */
  const promote = async (): Promise<void> => {
    for (const one of await Promise.allSettled([promoteRetries(store, PATIENCE), promoteDelayed(store, PATIENCE)])) {
      if (one.status === 'rejected')
        log.debug({ 'error.message': messageOf(one.reason) }, 'due jobs could not be moved')
      else if ('quarantined' in one.value && one.value.quarantined > 0) {
        const payloads = one.value.quarantined
        log.error({ payloads }, 'due payloads that no queue takes were put into quarantine')
      }
    }
  }

  const isGone = ({ registration }: ProcessView): boolean => {
    const { pod_uid, pod_namespace, container } = registration
    if (pod_uid === '') return false
    const source = podsOf(pod_namespace)
    if (!source?.synced) return false
    const pod = source.items.get(pod_uid)
    return pod ? hasEnded(pod, container) : source.vanished.has(pod_uid)
  }

  return {
    tend: async (view) => {
      if (tending) return false
      tending = true
      let soon = false
      try {
        for (const process of view.processes.values()) {
          if (!isGone(process)) continue
          const { nonce, lease_ms } = process.registration
          const leftMs = lease_ms - MISSED_MS
          if (process.load.leaseLeftMs <= leftMs) await recover(nonce, { kind: 'silent', leftMs }, PATIENCE)
          soon = true
        }
        const now = clock.monotonic()
        if (view.reading.processes > 0 && now - lastLook >= LOOK_MS) {
          lastLook = now
          for (const nonce of await look(store, PATIENCE)) await recover(nonce, { kind: 'lease' }, PATIENCE)
        }
        if (now - lastPromotion >= OVERDUE_MS) {
          const overdue = view.reading.due.some(({ dueMs }) => view.reading.now - dueMs > OVERDUE_MS)
          if (overdue) {
            lastPromotion = now
            await promote()
            soon = true
          }
        }
      } catch (error) {
        log.debug({ 'error.message': messageOf(error) }, 'what gone workers left could not be tended')
      } finally {
        tending = false
      }
      return soon
    },
  }
}

/**
 * A viewer after each of whose looks what gone workers left is tended, while that `may` be done; and looked at again
 * soon where there is something.
 */
export function tended(viewer: Viewer, caretaker: Caretaker, may: () => boolean): Viewer {
  // One for all looks: what is there may stay for hours, and each look would add another chain of them.
  let again: NodeJS.Timeout | undefined
  const look = async (maxAgeMs: number): Promise<RedisView> => {
    const view = await viewer.look(maxAgeMs)
    if (may())
      void caretaker.tend(view).then((soon) => {
        if (soon && may()) again ??= setTimeout(lookAgain, TEND_MS).unref()
      })
    return view
  }
  const lookAgain = (): void => {
    again = undefined
    if (may()) look(100).catch(() => undefined)
  }
  return {
    want: viewer.want,
    look,
    get known() {
      return viewer.known
    },
  }
}

/** Whether what ran in a container of a pod is gone, though the pod is still there. */
function hasEnded(pod: Pod, container: string): boolean {
  return isOver(pod) || (container === '' ? pod.down.length > 0 : pod.down.includes(container))
}
