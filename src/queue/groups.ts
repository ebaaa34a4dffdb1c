import { delayedScheduleSize, delayedTimestamps, delayedTimestampSize, listDelayed, removeDelayed } from './delayed.ts'
import { countFailed, failedQueues, listFailed, showFailed } from './failed.ts'
import { clearFailed, removeFailed, retryFailed } from './failedmoves.ts'
import { popRaw } from './job.ts'
import { findJob } from './jobs.ts'
import { isPausedAll, pauseAll, pausedQueues, pauseQueue, resumeAll, resumeQueue } from './pause.ts'
import {
  clearQuarantine,
  listQuarantine,
  releaseQuarantined,
  removeQuarantined,
  showQuarantined,
} from './quarantine.ts'
import { dequeue, listQueues, peekQueue, pushRaw, queueInfos, queueNames, queueSize, removeQueue } from './queues.ts'
import { countRetries, listRetries, removeRetries } from './retries.ts'
import type { Call, Session } from './session.ts'
import { addStat, clearStat, getStat, overview } from './stat.ts'
import { listWorkers, pauseWorker, resumeWorker, showWorker } from './workers.ts'

/** A function of the data model without its first parameter, which the client supplies. */
export type Bound<F> = F extends (first: infer _First, ...args: infer A) => infer R ? (...args: A) => R : never

/** What a client can do beside enqueueing, by subject. Each member is described at the function of its name. */
export interface Groups {
  readonly queues: {
    readonly list: Bound<typeof listQueues>
    readonly names: Bound<typeof queueNames>
    /** Size, head and pause of the queues named. */
    readonly show: Bound<typeof queueInfos>
    readonly size: Bound<typeof queueSize>
    readonly peek: Bound<typeof peekQueue>
    readonly push: Bound<typeof pushRaw>
    readonly pop: Bound<typeof popRaw>
    readonly dequeue: Bound<typeof dequeue>
    readonly remove: Bound<typeof removeQueue>
    readonly pause: Bound<typeof pauseQueue>
    readonly resume: Bound<typeof resumeQueue>
    readonly paused: Bound<typeof pausedQueues>
    readonly pauseAll: Bound<typeof pauseAll>
    readonly resumeAll: Bound<typeof resumeAll>
    readonly isPausedAll: Bound<typeof isPausedAll>
  }
  readonly failed: {
    readonly list: Bound<typeof listFailed>
    readonly count: Bound<typeof countFailed>
    readonly show: Bound<typeof showFailed>
    readonly queues: Bound<typeof failedQueues>
    readonly retry: Bound<typeof retryFailed>
    readonly remove: Bound<typeof removeFailed>
    readonly clear: Bound<typeof clearFailed>
  }
  readonly quarantine: {
    readonly list: Bound<typeof listQuarantine>
    readonly show: Bound<typeof showQuarantined>
    readonly release: Bound<typeof releaseQuarantined>
    readonly remove: Bound<typeof removeQuarantined>
    readonly clear: Bound<typeof clearQuarantine>
  }
  readonly retries: {
    readonly list: Bound<typeof listRetries>
    readonly count: Bound<typeof countRetries>
    readonly remove: Bound<typeof removeRetries>
  }
  readonly delayed: {
    readonly list: Bound<typeof listDelayed>
    readonly timestamps: Bound<typeof delayedTimestamps>
    readonly scheduleSize: Bound<typeof delayedScheduleSize>
    readonly timestampSize: Bound<typeof delayedTimestampSize>
    readonly remove: Bound<typeof removeDelayed>
  }
  readonly workers: {
    readonly list: Bound<typeof listWorkers>
    readonly show: Bound<typeof showWorker>
    readonly pause: Bound<typeof pauseWorker>
    readonly resume: Bound<typeof resumeWorker>
  }
  readonly stats: {
    readonly overview: Bound<typeof overview>
    readonly get: Bound<typeof getStat>
    readonly incr: (name: string, by?: number) => Promise<number>
    readonly decr: (name: string, by?: number) => Promise<number>
    readonly clear: Bound<typeof clearStat>
  }
  readonly jobs: {
    readonly find: Bound<typeof findJob>
  }
}

export function groupsOf(call: Call): Groups {
  type Part = 'store' | 'lane' | 'producer'
  const partOf = ({ store, lane, enqueuer }: Session, part: Part): unknown =>
    part === 'store' ? store : part === 'lane' ? lane : enqueuer.producer
  const bind = <F extends (first: never, ...args: never[]) => Promise<unknown>>(fn: F, part: Part): Bound<F> =>
    ((...args: never[]) => call((session) => fn(partOf(session, part) as never, ...args))) as Bound<F>

  return {
    queues: Object.freeze({
      list: bind(listQueues, 'store'),
      names: bind(queueNames, 'store'),
      show: bind(queueInfos, 'store'),
      size: bind(queueSize, 'store'),
      peek: bind(peekQueue, 'store'),
      push: bind(pushRaw, 'producer'),
      pop: bind(popRaw, 'lane'),
      dequeue: bind(dequeue, 'lane'),
      remove: bind(removeQueue, 'lane'),
      pause: bind(pauseQueue, 'store'),
      resume: bind(resumeQueue, 'store'),
      paused: bind(pausedQueues, 'store'),
      pauseAll: bind(pauseAll, 'store'),
      resumeAll: bind(resumeAll, 'store'),
      isPausedAll: bind(isPausedAll, 'store'),
    }),
    failed: Object.freeze({
      list: bind(listFailed, 'store'),
      count: bind(countFailed, 'store'),
      show: bind(showFailed, 'store'),
      queues: bind(failedQueues, 'store'),
      retry: bind(retryFailed, 'lane'),
      remove: bind(removeFailed, 'lane'),
      clear: bind(clearFailed, 'lane'),
    }),
    quarantine: Object.freeze({
      list: bind(listQuarantine, 'store'),
      show: bind(showQuarantined, 'store'),
      release: bind(releaseQuarantined, 'lane'),
      remove: bind(removeQuarantined, 'lane'),
      clear: bind(clearQuarantine, 'lane'),
    }),
    retries: Object.freeze({
      list: bind(listRetries, 'store'),
      count: bind(countRetries, 'store'),
      remove: bind(removeRetries, 'lane'),
    }),
    delayed: Object.freeze({
      list: bind(listDelayed, 'store'),
      timestamps: bind(delayedTimestamps, 'store'),
      scheduleSize: bind(delayedScheduleSize, 'store'),
      timestampSize: bind(delayedTimestampSize, 'store'),
      remove: bind(removeDelayed, 'lane'),
    }),
    workers: Object.freeze({
      list: bind(listWorkers, 'store'),
      show: bind(showWorker, 'store'),
      pause: bind(pauseWorker, 'store'),
      resume: bind(resumeWorker, 'store'),
    }),
    stats: Object.freeze({
      overview: bind(overview, 'store'),
      get: bind(getStat, 'store'),
      incr: (name: string, by = 1) => call(({ lane }) => addStat(lane, name, by)),
      decr: (name: string, by = 1) => call(({ lane }) => addStat(lane, name, -by)),
      clear: bind(clearStat, 'store'),
    }),
    jobs: Object.freeze({ find: bind(findJob, 'store') }),
  }
}
