import { randomBytes } from 'node:crypto'
import { systemClock, type Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { API_VERSION, KIND } from './api.ts'
import { refusal, type ApiServer } from './apiserver.ts'
import { collection, FIELD_MANAGER, type Kind } from './resources.ts'
import { microTime } from './times.ts'

/**
 * Reasons of Events, with their kinds: things that an administrator should notice. docs/controller.md explains each.
 */
export const EVENTS = {
  SuccessfulRescale: 'Normal',
  DrainStarted: 'Normal',
  DrainTimedOut: 'Warning',
  TargetNotFound: 'Warning',
  TargetConflict: 'Warning',
  RedisUnavailable: 'Warning',
  RedisRecovered: 'Normal',
  ReplicasContested: 'Warning',
} as const
export type EventReason = keyof typeof EVENTS

/** What an event is about. */
export interface Regarding {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

/** The same reason for the same object within this time is counted, not written anew. Milliseconds. */
const SERIES_MS = 6 * 60_000
/** A series is not counted more often than this. Milliseconds. */
const COUNT_MS = 60_000

interface Series {
  readonly name: string
  count: number
  lastMs: number
  writtenMs: number
}

/** Writes Events. Never rejects: an event that cannot be written is logged. */
export interface Recorder {
  record(regarding: Regarding, reason: EventReason, note: string): Promise<void>
}

export function createRecorder(api: ApiServer, instance: string, log: Logger, clock: Clock = systemClock): Recorder {
  const series = new Map<string, Series>()

  const write = async ({ namespace, name, uid }: Regarding, reason: EventReason, note: string): Promise<void> => {
    const key = `${uid}/${reason}`
    const now = clock.now()
    const known = series.get(key)
    // A rescale is news each time; the rest is the same thing again.
    if (known && now - known.lastMs < SERIES_MS && reason !== 'SuccessfulRescale') {
      known.count++
      known.lastMs = now
      if (now - known.writtenMs < COUNT_MS) return
      known.writtenMs = now
      const patch = { series: { count: known.count, lastObservedTime: microTime(now) } }
      if ((await patchEvent(api, namespace, known.name, patch)) === 'ok') return
    }
    // What does not go on any more is of no use: most of it is of objects that are gone.
    for (const [old, { lastMs }] of series) if (now - lastMs >= SERIES_MS) series.delete(old)
    const event = `${name.slice(0, 200)}.${randomBytes(8).toString('hex')}`
    series.set(key, { name: event, count: 1, lastMs: now, writtenMs: now })
    await createEvent(api, namespace, {
      metadata: { name: event, namespace },
      eventTime: microTime(now),
      reportingController: 'resqueue.dev/controller',
      reportingInstance: instance.slice(0, 128),
      action: reason === 'SuccessfulRescale' ? 'Scale' : reason,
      reason,
      regarding: { apiVersion: API_VERSION, kind: KIND, namespace, name, uid },
      note: note.slice(0, 1024),
      type: EVENTS[reason],
    })
  }

  return {
    record: (regarding, reason, note) =>
      write(regarding, reason, note).catch((error: unknown) => {
        log.warn({ reason, 'error.message': messageOf(error) }, 'an event could not be written')
      }),
  }
}

const EVENT_KIND: Kind = { base: '/apis/events.k8s.io/v1', plural: 'events' }

async function createEvent(api: ApiServer, namespace: string, event: object): Promise<void> {
  const reply = await api.request({
    method: 'POST',
    path: collection(EVENT_KIND, namespace),
    query: { fieldManager: FIELD_MANAGER },
    body: { apiVersion: 'events.k8s.io/v1', kind: 'Event', ...event },
  })
  if (reply.status !== 201 && reply.status !== 409) throw refusal('create an event', reply)
}

/** Counts an event that came again. */
async function patchEvent(api: ApiServer, namespace: string, name: string, patch: object): Promise<'ok' | 'absent'> {
  const reply = await api.request({
    method: 'PATCH',
    path: `${collection(EVENT_KIND, namespace)}/${name}`,
    query: { fieldManager: FIELD_MANAGER },
    contentType: 'application/merge-patch+json',
    body: patch,
  })
  if (reply.status === 404) return 'absent'
  if (reply.status !== 200) throw refusal('count an event', reply)
  return 'ok'
}
