import { ResQueueError } from '../errors.ts'
import { pagesOf } from '../redis/pages.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Patience, Store } from '../redis/store.ts'
import { briefOf } from './brief.ts'
import { exactBytes, portions, shaOf } from './entries.ts'
import { queueName } from './enqueue.ts'
import type { Lane } from './lane.ts'
import { matcherOf, type Item } from './match.ts'
import { parsePaused } from './paused.ts'
import { parsePayload } from './payload.ts'
import type { Producer } from './producer.ts'
import { removeAll } from './removal.ts'

const headsScript = loadScript('queue_heads')
const dequeueScript = loadScript('dequeue')

/** Elements looked at in one call: in the first, before their size is known, and at most. */
const FIRST_CHUNK = 100
const CHUNK = 1000

/** A queue as it stood at one instant. */
export interface QueueInfo {
  readonly name: string
  /** Jobs that wait. */
  readonly size: number
  readonly paused: boolean
  /**
   * How long the job at the head has waited, in seconds; undefined where it does not say (Ruby, node-resque) or nothing
   * waits.
   */
  readonly latencySeconds: number | undefined
  /** Class of the job at the head. */
  readonly nextClass: string | undefined
}

/** Names of all queues, sorted. */
export async function queueNames(store: Store, patience?: Patience): Promise<readonly string[]> {
  return ((await store.command('smembers', [store.keys.queues], patience)) as string[]).sort()
}

/** One page of the queues, by name, with sizes and the age of their heads. */
export async function listQueues(
  store: Store,
  { offset = 0, limit = 1000 }: { readonly offset?: number; readonly limit?: number } = {},
): Promise<{ readonly queues: readonly QueueInfo[]; readonly total: number }> {
  const names = await queueNames(store)
  return { queues: await queueInfos(store, names.slice(offset, offset + limit)), total: names.length }
}

/** What stands in some queues. A key that is no list counts as an empty queue. */
export async function queueInfos(store: Store, names: readonly string[]): Promise<readonly QueueInfo[]> {
  const paused = new Set(parsePaused(await store.command('get', [store.keys.paused])))
  const infos: QueueInfo[] = []
  for (const page of pagesOf(names)) {
    const [now, ...rest] = (await store.run(headsScript, page)) as [string, ...(string | number)[]]
    for (const [i, name] of page.entries()) {
      const size = Math.max(0, rest[2 * i] as number)
      const head = size > 0 ? headOf(rest[2 * i + 1] as string, Number(now)) : NO_HEAD
      infos.push({ name, size, paused: paused.has(name), ...head })
    }
  }
  return infos
}

/** Jobs that wait in a queue (R63). */
export async function queueSize(store: Store, queue: string): Promise<number> {
  return (await store.command('llen', [store.keys.queue(queue)])) as number
}

/** Elements of a queue from `start` on, as text (R64); nothing is taken. At most 1000. */
export async function peekQueue(store: Store, queue: string, start = 0, count = 10): Promise<readonly string[]> {
  const n = Math.min(Math.max(count, 0), 1000)
  return n === 0
    ? []
    : ((await store.command('lrange', [
        store.keys.queue(queue),
        start,
        start < 0 ? Math.min(-1, start + n - 1) : start + n - 1,
      ])) as string[])
}

/**
 * Pushes a payload as it is (R63): bytes of a JSON object with a string `class`, or such an object. Throws
 * `INVALID_ARGUMENT`.
 */
export async function pushRaw(producer: Producer, queue: string, payload: string | object): Promise<void> {
  const raw = typeof payload === 'string' ? payload : JSON.stringify(payload)
  const parsed = parsePayload(raw)
  if (!parsed.ok) throw new ResQueueError('INVALID_ARGUMENT', `This cannot be a job: ${parsed.reason}.`)
  await producer.push([{ queue: queueName(queue), raw, id: parsed.payload.id, status: undefined, at: undefined }])
}

/**
 * Removes a queue with its jobs, its name, its token, its flow and its pause (R66), in one atomic call. Returns how
 * many jobs it had.
 */
export async function removeQueue(
  lane: Lane,
  queue: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<number> {
  return removeAll(lane, queue, 'all', signal)
}

/**
 * Removes jobs from a queue (R65, see `Item`) and returns how many; without items all of them. Each chunk is looked
 * through and removed in one atomic call: at no time is another job out of its place, and the order of the rest is
 * kept. Jobs that are enqueued meanwhile may be looked at or not.
 */
export async function dequeue(
  lane: Lane,
  queue: string,
  items: readonly Item[] = [],
  { progress, signal }: { readonly progress?: (removed: number) => void; readonly signal?: AbortSignal } = {},
): Promise<number> {
  if (items.length === 0) return removeAll(lane, queue, 'jobs', signal)
  const fits = matcherOf(items)
  const key = lane.store.keys.queue(queue)
  let removed = 0
  // From the tail: workers take at the head, which then shifts nothing; what is enqueued meanwhile only makes us look
  // twice.
  for (let passed = 0, size = FIRST_CHUNK, again = 0; ;) {
    signal?.throwIfAborted()
    const last = -(passed + 1)
    const seen = (await lane.store.command('lrange', [key, last - size + 1, last], { signal })) as string[]
    // The script hashes all that it looks at: of large elements, only those nearest the tail.
    const [chunk = []] = portions(seen.toReversed(), (raw) => raw.length)
    const first = last - chunk.length + 1
    const wanted: string[] = []
    let shifted = false
    for (const [i, text] of chunk.entries()) {
      if (!isWanted(text, fits)) continue
      const bytes = await exactBytes(lane.store, `queue:${queue}`, { index: last - i, text })
      if (bytes === undefined) shifted = true
      else wanted.push(shaOf(bytes))
    }
    // Jobs that were enqueued meanwhile stand where those without UTF-8 were looked up.
    if (shifted && again < MOST_AGAIN) {
      again += 1
      continue
    }
    again = 0
    const n = wanted.length === 0 ? 0 : Number(await lane.run(dequeueScript, [queue, first, last, ...new Set(wanted)]))
    removed += n
    if (n > 0) progress?.(removed)
    // The head is reached, unless jobs that were enqueued since moved some of these out of the script's sight.
    if (chunk.length === 0 || (chunk.length === seen.length && seen.length < size && n >= wanted.length)) return removed
    passed += chunk.length - Math.min(n, chunk.length)
    // Twice what fitted: no more is read in vain, and small elements soon come a thousand at a time.
    size = Math.min(CHUNK, 2 * chunk.length)
  }
}

/** How often a part of a queue is read again whose places shifted while it was looked at. */
const MOST_AGAIN = 5

const NO_HEAD = { latencySeconds: undefined, nextClass: undefined } as const

function headOf(text: string, now: number): Pick<QueueInfo, 'latencySeconds' | 'nextClass'> {
  const { class: nextClass, enqueuedAt } = briefOf(text)
  return { nextClass, latencySeconds: enqueuedAt === undefined ? undefined : Math.max(0, (now - enqueuedAt) / 1000) }
}

function isWanted(raw: string, fits: ReturnType<typeof matcherOf>): boolean {
  const parsed = parsePayload(raw)
  return parsed.ok && fits(parsed.payload)
}
