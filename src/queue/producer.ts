import { systemClock, type Clock } from '../clock.ts'
import { ResQueueError } from '../errors.ts'
import { isWrongType } from '../redis/replies.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Arg } from '../redis/store.ts'
import { MOST_STREAMED, PATIENCE_MS, type Lane } from './lane.ts'

const enqueueScript = loadScript('enqueue')
const enqueueAtScript = loadScript('enqueue_at')

/** Most payloads and characters in one call: a call takes Redis about a millisecond then. */
export const MAX_ITEMS = 1000
export const MAX_CHARS = 1_000_000

/** One job on its way into a queue. */
export interface Outgoing {
  readonly queue: string
  /** The payload's bytes. */
  readonly raw: string
  /** The job's id, for errors. */
  readonly id: string
  /** `<id>` or `<prefix>_<id>` of a tracked job, whose status becomes *waiting*. */
  readonly status: string | undefined
  /** Unix second at which it is due; undefined: now. */
  readonly at: number | undefined
}

/**
 * Copies that must exist before an enqueue resolves, so that a failover loses nothing that was acknowledged (Redis'
 * WAIT).
 */
export interface Replication {
  /** How many replicas must have a job beside the primary. */
  readonly replicas: number
  /** How long to wait for them, at most 4000. Default 1000. */
  readonly timeoutMs?: number
}

/** Sends jobs, gathering all that come while a call is outstanding into the next one. */
export interface Producer {
  /**
   * Resolves when all `items` (at most `MAX_ITEMS`) are in Redis. Order of calls is the order in the queues. Rejects
   * with `REDIS_FULL` or `REDIS_REFUSED` (nothing written), `REDIS_UNAVAILABLE` (nothing was ever sent) or
   * `ENQUEUE_UNCERTAIN`.
   */
  push(items: readonly Outgoing[]): Promise<void>
}

interface Parcel {
  readonly items: readonly Outgoing[]
  readonly later: boolean
  readonly chars: number
  readonly since: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** Callers who are worth a call of their own while another is under way. */
const LEAST_BESIDE = 16

/** A producer on a lane; `replication`: what an enqueue waits for beside the primary. */
export function openProducer(lane: Lane, replication?: Replication, clock: Clock = systemClock): Producer {
  const most = replication ? 1 : MOST_STREAMED // WAIT stands for all that was written before it
  let parcels: Parcel[] = []
  let head = 0
  let underWay = 0
  let scheduled = false

  const deliver = async (batch: readonly Parcel[]): Promise<void> => {
    const first = batch[0] as Parcel
    const items = batch.length === 1 ? first.items : batch.flatMap((parcel) => parcel.items)
    try {
      await lane.stream(
        first.later ? enqueueAtScript : enqueueScript,
        first.later ? laterArgs(items) : nowArgs(items),
        first.since,
      )
      if (replication) await replicated(lane, replication)
      for (const parcel of batch) parcel.resolve()
    } catch (error) {
      // A key of another type spoils the call for all who share it, and is the concern of one.
      if (batch.length > 1 && isWrongType(error)) {
        for (const parcel of batch) await deliver([parcel])
        return
      }
      for (const parcel of batch) parcel.reject(explain(error, parcel.items))
      if (isUnsent(error)) giveUp(error)
    }
  }

  const send = async (batch: readonly Parcel[]): Promise<void> => {
    underWay++
    await deliver(batch)
    underWay--
    schedule()
  }

  /** Redis is away: whoever has waited as long as the call that just gave up is not kept any longer. */
  const giveUp = (error: ResQueueError): void => {
    const now = clock.monotonic()
    for (; head < parcels.length && now - (parcels[head] as Parcel).since >= PATIENCE_MS; head++)
      (parcels[head] as Parcel).reject(error)
  }

  /** Callers that were answered together call again together: all of them are let in before the next call goes out. */
  const schedule = (): void => {
    if (scheduled || head === parcels.length) return
    scheduled = true
    queueMicrotask(work)
  }

  const work = (): void => {
    scheduled = false
    for (let gathered = parcels.length - head; gathered > 0; gathered = parcels.length - head) {
      if (underWay >= most || (underWay > 0 && gathered < LEAST_BESIDE)) return
      // Many are halved, so that Redis has work while the other half is made and answered.
      const limit = underWay === 0 && most > 1 && gathered >= 2 * LEAST_BESIDE ? Math.ceil(gathered / 2) : gathered
      const end = endOfBatch(parcels, head, head + limit)
      const batch = parcels.slice(head, end)
      head = end
      if (head >= 10_000 || head === parcels.length) {
        parcels = parcels.slice(head)
        head = 0
      }
      void send(batch)
    }
  }

  return Object.freeze({
    push: (items: readonly Outgoing[]) =>
      new Promise<void>((resolve, reject) => {
        let chars = 0
        for (const item of items) chars += item.raw.length
        parcels.push({ items, later: items[0]?.at !== undefined, chars, since: clock.monotonic(), resolve, reject })
        schedule()
      }),
  })
}

/**
 * Waits until replicas have what the connection wrote last. A connection made anew would wait for nothing. Whatever
 * comes of it, the jobs were written: no failure may say that they were not.
 */
async function replicated({ store }: Lane, { replicas, timeoutMs = 1000 }: Replication): Promise<void> {
  const { reconnects } = store.counts
  const timeout = Math.min(Math.max(Math.trunc(timeoutMs), 1), 4000)
  const copies = await store.command('wait', [replicas, timeout]).catch((error: Error) => error)
  const isSame = store.counts.reconnects === reconnects
  if (isSame && Number(copies) >= replicas) return
  const why =
    copies instanceof Error
      ? `its replicas could not be asked: ${copies.message}`
      : isSame
        ? `${String(copies)} of ${replicas} replicas confirmed it in time.`
        : 'the connection was lost before its replicas confirmed it.'
  throw new ResQueueError('REDIS_UNAVAILABLE', `The primary has it, but ${why}`, {
    ...(copies instanceof Error ? { cause: copies } : {}),
    data: { unanswered: 'unknown' },
  })
}

/**
 * Where the batch that starts at `head` ends, at `last` at the latest: parcels for the same script, within the limits,
 * at least one.
 */
function endOfBatch(parcels: readonly Parcel[], head: number, last: number): number {
  const first = parcels[head] as Parcel
  let items = first.items.length
  let chars = first.chars
  let end = head + 1
  for (; end < last; end++) {
    const next = parcels[end] as Parcel
    items += next.items.length
    chars += next.chars
    if (next.later !== first.later || items > MAX_ITEMS || chars > MAX_CHARS) break
  }
  return end
}

function nowArgs(items: readonly Outgoing[]): Arg[] {
  const first = items[0] as Outgoing
  if (items.length === 1) {
    return first.status === undefined
      ? [1, 0, first.queue, 1, first.raw]
      : [1, 1, first.queue, 1, first.raw, first.status]
  }
  const queues = new Map<string, string[]>()
  const tracked: string[] = []
  for (const { queue, raw, status } of items) {
    const list = queues.get(queue)
    if (list) list.push(raw)
    else queues.set(queue, [raw])
    if (status !== undefined) tracked.push(status)
  }
  const args: Arg[] = [queues.size, tracked.length]
  for (const [queue, raws] of queues) args.push(queue, raws.length, ...raws)
  args.push(...tracked)
  return args
}

function laterArgs(items: readonly Outgoing[]): Arg[] {
  const tracked = items.flatMap((item) => (item.status === undefined ? [] : [item.status]))
  return [items.length, tracked.length, ...items.flatMap((item) => [item.at as number, item.raw]), ...tracked]
}

function isUnsent(error: unknown): error is ResQueueError {
  return error instanceof ResQueueError && error.data['unanswered'] === 'unsent'
}

/** An unanswered call, as its caller must understand it. */
function explain(error: unknown, items: readonly Outgoing[]): unknown {
  if (!(error instanceof ResQueueError) || error.data['unanswered'] !== 'unknown') return error
  const ids = items.map((item) => item.id)
  const what = ids.length === 1 ? `Job ${ids[0]} was sent` : `${ids.length} jobs were sent`
  return new ResQueueError(
    'ENQUEUE_UNCERTAIN',
    `${what} and not confirmed in time: it may or may not be in its queue. Look for its id, or enqueue again if running twice does no harm. (${error.message})`,
    { cause: error, data: { id: ids[0], ids } },
  )
}
