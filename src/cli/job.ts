import { defined } from '../defined.ts'
import { ResQueueError } from '../errors.ts'
import { findJob, type Place } from '../queue/findjob.ts'
import { parsePayload } from '../queue/payload.ts'
import type { StatusSnapshot } from '../queue/status.ts'
import { output, prefix, queueFilter } from './options.ts'
import { isoOf } from './text.ts'
import type { Context, Verb } from './verb.ts'

async function show({ operands, get, output: out, store: open, signal }: Context): Promise<number> {
  const id = operands[0] as string
  const where = defined({ prefix: get(prefix), queue: get(queueFilter) })
  const report = await findJob(await open(), id, { signal, ...where })
  const { status, places, complete } = report
  if (status === false && places.length === 0) {
    throw new ResQueueError(
      'NOT_FOUND',
      `There is no trace of job ${id}: it never was, or ended without a status to keep${complete ? '' : ', or is further inside a long list than was looked'}.`,
    )
  }
  const value = {
    id,
    status:
      status === false
        ? null
        : {
            state: status.state,
            updated_at: isoOf(status.updated),
            started_at: isoOf(status.started),
            result: status.result,
          },
    places: places.map(placeOf),
    complete,
  }
  out.show(
    [
      ['id', id],
      ['status', status === false ? 'not tracked' : `${status.state}, since ${isoOf(status.updated) ?? 'unknown'}`],
      ...(status === false || status.started === undefined ? [] : [['enqueued at', isoOf(status.started)] as const]),
      ...(status === false || status.state !== 'complete' ? [] : [['result', JSON.stringify(status.result)] as const]),
      ['found', places.length === 0 ? nowhere(status) : places.map(sentence)],
      ...(complete ? [] : [['note', 'some lists are long and were not looked through to the end'] as const]),
    ],
    value,
  )
  return 0
}

/**
 * What it means that a job is in no list. A status that says otherwise is one that nobody brought up to date: PHP
 * workers lose the job of one that died, Ruby's know no statuses, and php-resque tracks even what it could not encode.
 */
function nowhere(status: StatusSnapshot | false): string {
  return status !== false && (status.state === 'waiting' || status.state === 'running')
    ? 'in no list: it ended or was lost in a worker of another program, or never was enqueued'
    : 'in no list: it has ended'
}

function placeOf(place: Place): Record<string, unknown> {
  switch (place.kind) {
    case 'waiting':
      return {
        place: 'waiting',
        queue: place.queue,
        class: classOf(place.raw),
        position: place.position,
        payload: place.raw,
      }
    case 'running':
      return {
        place: 'running',
        queue: place.running.queue,
        class: place.running.class ?? null,
        worker: place.worker.id,
        host: place.worker.host,
        since: isoOf(place.running.since),
      }
    case 'failed':
      return {
        place: 'failed',
        queue: place.entry.queue,
        list: place.listOf ?? null,
        class: place.entry.payload?.class ?? null,
        index: place.entry.index,
        failed_at: isoOf(place.entry.failedAt),
        exception: place.entry.exception,
        error: place.entry.error,
      }
    case 'retry':
      return {
        place: 'retry',
        queue: place.entry.queue,
        class: place.entry.payload?.class ?? null,
        due_at: isoOf(place.entry.dueAt),
        attempt: place.entry.attempt,
        error: place.entry.error,
      }
    case 'delayed':
      return {
        place: 'delayed',
        queue: place.job.queue,
        class: place.job.payload?.class ?? null,
        due_at: isoOf(place.job.at),
        payload: place.job.raw,
      }
    case 'quarantine':
      return {
        place: 'quarantine',
        queue: place.entry.queue,
        index: place.entry.index,
        quarantined_at: isoOf(place.entry.quarantinedAt),
        reason: place.entry.reason,
        payload: place.entry.raw,
      }
  }
}

function sentence(place: Place): string {
  switch (place.kind) {
    case 'waiting':
      return `waiting in ${place.queue}, ${place.position} before it`
    case 'running':
      return `running on ${place.worker.host} (worker ${place.worker.id}) since ${isoOf(place.running.since) ?? 'unknown'}, from ${place.running.queue}`
    case 'failed':
      return `failed at ${isoOf(place.entry.failedAt) ?? 'unknown'}, index ${place.entry.index}${place.listOf === undefined ? '' : ` of --list ${place.listOf}`}: ${place.entry.exception}: ${place.entry.error}`
    case 'retry':
      return `waiting for another attempt at ${isoOf(place.entry.dueAt)}; attempt ${place.entry.attempt} ended with ${place.entry.error}`
    case 'delayed':
      return `due at ${isoOf(place.job.at)} in ${place.job.queue}`
    case 'quarantine':
      return `in quarantine, index ${place.entry.index}, from ${place.entry.queue}${place.entry.reason === '' ? '' : `: ${place.entry.reason}`}`
  }
}

function classOf(raw: string): string | null {
  const parsed = parsePayload(raw)
  return parsed.ok ? parsed.payload.class : null
}

export const verbs: readonly Verb[] = [
  {
    name: 'show',
    summary: 'show where a job is, and its status',
    operands: 'ID',
    count: [1, 1],
    about:
      'Searches delayed and waiting jobs, workers, retries, failed lists and the quarantine: at most 10,000 jobs in each and 1,000 workers; with --queue only that queue and its failed list, besides the common one. Jobs enqueued by Ruby Resque and node-resque have no id. A job that succeeded is found only if it was enqueued with --track, for a day.',
    examples: [
      'job show 4ef89c99c036da6022cf926be7ec3edd',
      'job show 4ef89c99c036da6022cf926be7ec3edd --queue mail -o json',
    ],
    options: [queueFilter, prefix, output],
    redis: true,
    run: show,
  },
]
