import { delayedScheduleSize, delayedTimestamps, delayedTimestampSize, listDelayed, removeDelayed } from './delayed.ts'
import { countFailed, failedQueues, listFailed, showFailed } from './failed.ts'
import { clearFailed, removeFailed, retryFailed } from './failedmoves.ts'
import { findJob } from './findjob.ts'
import { popRaw } from './job.ts'
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

/** The groups of a client, each member bound to the connection that `call` provides. */
export function groupsOf(call: Call): Groups {
  const bind =
    <P>(part: (session: Session) => P) =>
    <A extends unknown[], R>(fn: (first: P, ...args: A) => Promise<R>) =>
    (...args: A): Promise<R> =>
      call((session) => fn(part(session), ...args))
  const onStore = bind(({ store }) => store)
  const onLane = bind(({ lane }) => lane)
  const onProducer = bind(({ enqueuer }) => enqueuer.producer)

  return {
    queues: Object.freeze({
      list: onStore(listQueues),
      names: onStore(queueNames),
      show: onStore(queueInfos),
      size: onStore(queueSize),
      peek: onStore(peekQueue),
      push: onProducer(pushRaw),
      pop: onLane(popRaw),
      dequeue: onLane(dequeue),
      remove: onLane(removeQueue),
      pause: onStore(pauseQueue),
      resume: onStore(resumeQueue),
      paused: onStore(pausedQueues),
      pauseAll: onStore(pauseAll),
      resumeAll: onStore(resumeAll),
      isPausedAll: onStore(isPausedAll),
    }),
    failed: Object.freeze({
      list: onStore(listFailed),
      count: onStore(countFailed),
      show: onStore(showFailed),
      queues: onStore(failedQueues),
      retry: onLane(retryFailed),
      remove: onLane(removeFailed),
      clear: onLane(clearFailed),
    }),
    quarantine: Object.freeze({
      list: onStore(listQuarantine),
      show: onStore(showQuarantined),
      release: onLane(releaseQuarantined),
      remove: onLane(removeQuarantined),
      clear: onLane(clearQuarantine),
    }),
    retries: Object.freeze({
      list: onStore(listRetries),
      count: onStore(countRetries),
      remove: onLane(removeRetries),
    }),
    delayed: Object.freeze({
      list: onStore(listDelayed),
      timestamps: onStore(delayedTimestamps),
      scheduleSize: onStore(delayedScheduleSize),
      timestampSize: onStore(delayedTimestampSize),
      remove: onLane(removeDelayed),
    }),
    workers: Object.freeze({
      list: onStore(listWorkers),
      show: onStore(showWorker),
      pause: onStore(pauseWorker),
      resume: onStore(resumeWorker),
    }),
    stats: Object.freeze({
      overview: onStore(overview),
      get: onStore(getStat),
      incr: (name: string, by = 1) => call(({ lane }) => addStat(lane, name, by)),
      decr: (name: string, by = 1) => call(({ lane }) => addStat(lane, name, -by)),
      clear: onStore(clearStat),
    }),
    jobs: Object.freeze({ find: onStore(findJob) }),
  }
}
