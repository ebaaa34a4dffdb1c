import { distribution, record, type Distribution } from './distribution.ts'
import { cappedLabels, OTHER } from './labels.ts'
import { RESULTS, type Result, type WorkerObserver } from './observer.ts'

/** Upper bounds of the histograms: seconds, seconds, bytes. */
const JOB_SECONDS: readonly number[] = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600]
const FORK_SECONDS: readonly number[] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]
const MEMORY_BYTES: readonly number[] = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096].map((mib) => mib * 1024 * 1024)

/** Queues that a worker's own metrics tell apart, and pairs of a queue and a class. */
const MOST_QUEUES = 1000
const MOST_PAIRS = 500

/** What became of the jobs of one class from one queue. */
export interface JobTally {
  readonly queue: string
  readonly class: string
  started: number
  readonly finished: Record<Result, number>
  readonly duration: Distribution
  readonly wait: Distribution
  readonly peakMemory: Distribution
}

/**
 * What a worker did, added up in plain numbers: this is on the way of every job, and metrics are made of it only when
 * asked for.
 */
export interface Tally {
  readonly observer: WorkerObserver
  readonly jobs: readonly JobTally[]
  /** By isolation. */
  readonly forks: ReadonlyMap<string, number>
  readonly forkSeconds: Distribution
  readonly recovered: number
}

/**
 * Starts at zero. At most `maxClasses` classes, 1,000 queues and 500 pairs of them are told apart; the rest are counted
 * under `other`.
 */
export function createTally(maxClasses: number): Tally {
  const queueLabel = cappedLabels(MOST_QUEUES)
  const classLabel = cappedLabels(maxClasses)
  const byQueue = new Map<string, Map<string, JobTally>>()
  const jobs: JobTally[] = []
  const forks = new Map<string, number>()
  const forkSeconds = distribution(FORK_SECONDS)
  let recovered = 0

  const open = (queue: string, className: string): JobTally => {
    const tally: JobTally = {
      queue,
      class: className,
      started: 0,
      finished: Object.fromEntries(RESULTS.map((result) => [result, 0])) as Record<Result, number>,
      duration: distribution(JOB_SECONDS),
      wait: distribution(JOB_SECONDS),
      peakMemory: distribution(MEMORY_BYTES),
    }
    jobs.push(tally)
    const classes = byQueue.get(queue) ?? new Map<string, JobTally>()
    byQueue.set(queue, classes.set(className, tally))
    return tally
  }
  const find = (queue: string, className: string): JobTally => {
    const [q, c] = [queueLabel(queue), classLabel(className)]
    const found = byQueue.get(q)?.get(c)
    if (found) return found
    if (jobs.length < MOST_PAIRS) return open(q, c)
    return byQueue.get(OTHER)?.get(OTHER) ?? open(OTHER, OTHER)
  }
  // Labels are as a rule the names themselves: the first look-up finds them.
  const tallyOf = (queue: string, className: string): JobTally =>
    byQueue.get(queue)?.get(className) ?? find(queue, className)

  const observer: WorkerObserver = Object.freeze({
    jobStarted(queue: string, className: string, waitSeconds: number | undefined) {
      const tally = tallyOf(queue, className)
      tally.started++
      if (waitSeconds !== undefined) record(tally.wait, waitSeconds)
    },
    jobFinished(
      queue: string,
      className: string,
      result: Result,
      seconds: number,
      peakMemoryBytes: number | undefined,
    ) {
      const tally = tallyOf(queue, className)
      tally.finished[result]++
      record(tally.duration, seconds)
      if (peakMemoryBytes !== undefined) record(tally.peakMemory, peakMemoryBytes)
    },
    forked(isolation: string, seconds: number) {
      forks.set(isolation, (forks.get(isolation) ?? 0) + 1)
      record(forkSeconds, seconds)
    },
    recovered(count: number) {
      recovered += count
    },
  })
  return {
    observer,
    jobs,
    forks,
    forkSeconds,
    get recovered() {
      return recovered
    },
  }
}
