import { statusName } from '../redis/keys.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Store } from '../redis/store.ts'
import { encodePayload, newId } from './encode.ts'
import { submit, type Enqueuer } from './enqueue.ts'
import type { Lane } from './lane.ts'
import { parsePayload, type Payload } from './payload.ts'
import { getStatus } from './status.ts'

const popScript = loadScript('pop')
const quarantineScript = loadScript('quarantine_add')

/** A job and the queue it came from. */
export interface Job {
  readonly queue: string
  readonly payload: Payload
  /** The payload's bytes as text. */
  readonly raw: string
  /** R61: `(Job{queue} | ID: x | Class | [args])`. */
  toString(): string
}

/** A job from a payload as it stands in Redis; undefined where it is none. */
export function jobOf(queue: string, raw: string): Job | undefined {
  const parsed = parsePayload(raw)
  if (!parsed.ok) return undefined
  const { payload } = parsed
  return Object.freeze({ queue, payload, raw, toString: () => describeJob(queue, payload) })
}

/** R61: `(Job{queue} | ID: x | Class | [args])`; the ID part is left out where there is none. */
export function describeJob(queue: string, payload: Payload): string {
  const parts = [
    `Job{${queue}}`,
    ...(payload.id === '' ? [] : [`ID: ${payload.id}`]),
    payload.class,
    JSON.stringify(payload.args),
  ]
  return `(${parts.join(' | ')})`
}

/**
 * Takes the element at the head of a queue away (R63): its text, or undefined for an empty queue. A call whose reply
 * was lost returns the same element when it is sent again.
 */
export async function popRaw(lane: Lane, queue: string): Promise<string | undefined> {
  return taken(await lane.run(popScript, [queue, '']))
}

/** Takes the first job of a queue away; what stands before it and cannot be a job goes to quarantine. */
export async function reserveJob(lane: Lane, queue: string): Promise<Job | undefined> {
  for (;;) {
    const raw = taken(await lane.run(popScript, [queue, 'job']))
    if (raw === undefined) return undefined
    const job = jobOf(queue, raw)
    if (job) return job
    // Its head and tail looked like a job's, the rest is no JSON.
    await lane.run(quarantineScript, [queue, raw])
  }
}

/**
 * Enqueues a job again under a new id (R60): same queue, class, arguments, prefix and extras; tracked if the old one
 * is. Returns the new id, or false when a `beforeEnqueue` listener vetoed.
 */
export async function recreateJob(store: Store, enqueuer: Enqueuer, job: Job): Promise<string | false> {
  const { class: name, args, id: oldId, prefix, fields } = job.payload
  const tracked = oldId !== '' && (await getStatus(store, oldId, prefix)) !== false
  const id = newId()
  const extras = fields['x'] === undefined ? undefined : JSON.stringify(fields['x'])
  const raw = encodePayload({ class: name, args, id, prefix, queueTime: Date.now(), queue: undefined, extras })
  const status = tracked ? statusName(id, prefix) : undefined
  return submit(enqueuer, {
    queue: job.queue,
    raw,
    id,
    status,
    at: undefined,
    job: name,
    args: args.length === 1 ? args[0] : args,
  })
}

function taken(answer: string): string | undefined {
  return answer === '' ? undefined : answer.slice(1)
}
