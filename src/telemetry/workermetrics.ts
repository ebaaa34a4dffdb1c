import type { Registry } from 'prom-client'
import type { Distribution } from './distribution.ts'
import { addFamily, histogramSamples, type Labels, type Sample } from './family.ts'
import { RESULTS, type WorkerView } from './observer.ts'
import type { JobTally, Tally } from './tally.ts'

/** The metrics of this worker process: what it did, and how it is. */
export function addWorkerMetrics(registry: Registry, tally: Tally, view: () => WorkerView): void {
  const labelsOf = labelsOnce()
  const perJob = (pick: (job: JobTally) => number) =>
    function* (): Generator<Sample> {
      for (const job of tally.jobs) yield { sharedLabels: labelsOf(job), value: pick(job) }
    }
  const jobHistogram = (name: string, pick: (job: JobTally) => Distribution) =>
    function* (): Generator<Sample> {
      for (const job of tally.jobs) {
        const seen = pick(job)
        if (seen.counts.some((count) => count > 0)) yield* histogramSamples(name, seen, labelsOf(job))
      }
    }
  const one = (value: () => number) => (): Sample[] => [{ value: value() }]

  addFamily(registry, {
    name: 'jobs_started_total',
    help: 'Jobs that this worker started.',
    type: 'counter',
    collect: perJob((job) => job.started),
  })
  addFamily(registry, {
    name: 'jobs_finished_total',
    help: 'Jobs of this worker that ended, by result.',
    type: 'counter',
    *collect() {
      for (const job of tally.jobs) {
        for (const result of RESULTS)
          yield { labels: { result }, sharedLabels: labelsOf(job), value: job.finished[result] }
      }
    },
  })
  addFamily(registry, {
    name: 'job_duration_seconds',
    help: 'How long jobs ran.',
    type: 'histogram',
    collect: jobHistogram('job_duration_seconds', (job) => job.duration),
  })
  addFamily(registry, {
    name: 'job_wait_seconds',
    help: 'How long jobs waited in their queue, of those whose payload says when it was enqueued.',
    type: 'histogram',
    collect: jobHistogram('job_wait_seconds', (job) => job.wait),
  })
  addFamily(registry, {
    name: 'job_peak_memory_bytes',
    help: "Peak resident memory of jobs' processes.",
    type: 'histogram',
    collect: jobHistogram('job_peak_memory_bytes', (job) => job.peakMemory),
  })
  addFamily(registry, {
    name: 'slots',
    help: 'Jobs that this worker can run at once.',
    type: 'gauge',
    collect: one(() => view().slots),
  })
  addFamily(registry, {
    name: 'slots_busy',
    help: 'Jobs that this worker runs now.',
    type: 'gauge',
    collect: one(() => view().busy),
  })
  addFamily(registry, {
    name: 'worker_paused',
    help: 'Whether this worker takes no jobs because somebody paused it, by USR2 or through Redis.',
    type: 'gauge',
    collect: one(() => (view().paused ? 1 : 0)),
  })
  addFamily(registry, {
    name: 'forks_total',
    help: 'Processes started for jobs, by isolation.',
    type: 'counter',
    collect() {
      const { isolation, registered } = view() // not known before it is registered
      const forks = new Map([...(registered ? [[isolation, 0] as const] : []), ...tally.forks])
      return [...forks].map(([label, value]) => ({ labels: { isolation: label }, value }))
    },
  })
  addFamily(registry, {
    name: 'fork_duration_seconds',
    help: 'How long it took to start a process for a job.',
    type: 'histogram',
    collect: () => histogramSamples('fork_duration_seconds', tally.forkSeconds),
  })
  addFamily(registry, {
    name: 'jobs_recovered_total',
    help: 'Jobs of processes that are gone which this worker put back or failed.',
    type: 'counter',
    collect: one(() => tally.recovered),
  })
  addFamily(registry, {
    name: 'reserve_loop_age_seconds',
    help: 'Time since the reserve loop moved last.',
    type: 'gauge',
    collect: one(() => view().loopAgeMs / 1000),
  })
}

/** The labels of a job's tally, one object for its lifetime: the registry writes each object out once. */
function labelsOnce(): (job: JobTally) => Labels {
  const known = new WeakMap<JobTally, Labels>()
  return (job) => {
    const found = known.get(job) ?? { queue: job.queue, class: job.class }
    known.set(job, found)
    return found
  }
}
