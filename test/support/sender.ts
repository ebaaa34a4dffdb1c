import { openLane } from '../../src/queue/lane.ts'
import { openProducer } from '../../src/queue/producer.ts'
import { openStore } from '../../src/redis/store.ts'
import { ResQueueError } from '../../src/errors.ts'
import { own } from './scope.ts'
import type { Sent } from './ledger.ts'

/** A client of ours that enqueues given bytes and keeps book of what became of each call. */
export interface Sender {
  /** Resolves when the call has ended, whichever way. Jobs of one call share their fate. */
  send(...jobs: readonly Sent[]): Promise<void>
  /** Enqueued for certain. */
  readonly acknowledged: readonly Sent[]
  /** Sent and not answered: may be enqueued. */
  readonly uncertain: readonly Sent[]
  /** Refused or never sent: must not be there. With the error's code. */
  readonly refused: readonly (Sent & { readonly code: string })[]
}

export function startSender(url: string, ns: string): Sender {
  const store = openStore({ url, namespace: ns }, 'resqueue-test-sender')
  const producer = openProducer(openLane(store))
  own('sender', () => store.close())
  const acknowledged: Sent[] = []
  const uncertain: Sent[] = []
  const refused: (Sent & { code: string })[] = []
  return {
    acknowledged,
    uncertain,
    refused,
    async send(...jobs) {
      const items = jobs.map(({ id, queue, raw }) => ({ id, queue, raw, status: undefined, at: undefined }))
      try {
        await producer.push(items)
        acknowledged.push(...jobs)
      } catch (error) {
        if (!(error instanceof ResQueueError)) throw error
        const { code } = error
        if (code === 'ENQUEUE_UNCERTAIN') uncertain.push(...jobs)
        else refused.push(...jobs.map((one) => ({ ...one, code })))
      }
    },
  }
}
