import { readFileSync } from 'node:fs'
import { describe, expect, test, vi } from 'vitest'
import { keysOf } from '../../src/redis/keys.ts'
import { shownClass } from '../../src/telemetry/classname.ts'
import type { WorkerView } from '../../src/telemetry/observer.ts'
import { createControllerTelemetry } from '../../src/telemetry/controllermetrics.ts'
import { createTelemetry, type TelemetryOptions } from '../../src/telemetry/telemetry.ts'
import { parseExposition } from '../support/exposition.ts'

const idle: WorkerView = {
  slots: 4,
  busy: 0,
  isolation: 'fork',
  loopAgeMs: 250,
  registered: true,
  paused: false,
  stopping: false,
  queues: ['mail', 'low'],
}

/** A store whose Redis answers the observe script with `reply`. */
const answering = (reply: readonly (string | number)[]): NonNullable<TelemetryOptions['store']> => ({
  keys: keysOf('resque'),
  counts: { commands: 7, reconnects: 1 },
  run: () => Promise.resolve(reply),
})
const NOW = 1_795_371_800_000
const system = (...queues: (string | number)[]): (string | number)[] => [
  NOW,
  '',
  '["low"]',
  3,
  2,
  1,
  5,
  10,
  4,
  '1200',
  '30',
  '0',
  '90500',
  '0',
  ...queues,
]
const telemetryOf = (options: Partial<TelemetryOptions> = {}) =>
  createTelemetry({ view: () => idle, version: '1.2.3', processMetrics: false, ...options })
const linesOf = (text: string, name: string): string[] =>
  text.split('\n').filter((line) => line.startsWith(`resqueue_${name}`))

describe('the text of a scrape', () => {
  test('the queue system, exactly', async () => {
    const payload = '{"class":"A","args":[],"id":"x","prefix":"","queue_time":1795371757.5}'
    const telemetry = telemetryOf({ store: answering(system(1, 12, '20 9 1 900', payload.length, payload)) })
    const text = await telemetry.metrics()
    expect(text.slice(0, text.indexOf('# HELP resqueue_jobs_started_total')))
      .toBe(`# HELP resqueue_redis_up Whether Redis answered this scrape and lets the worker work; where it did not answer, nothing is shown of the queue system.
# TYPE resqueue_redis_up gauge
resqueue_redis_up 1

# HELP resqueue_queue_jobs Jobs waiting in a queue.
# TYPE resqueue_queue_jobs gauge
resqueue_queue_jobs{queue="mail"} 12
resqueue_queue_jobs{queue="low"} 0

# HELP resqueue_queue_latency_seconds Age of a queue's head, 0 for an empty queue; estimated where its payload does not say when it was enqueued.
# TYPE resqueue_queue_latency_seconds gauge
resqueue_queue_latency_seconds{queue="mail"} 42.5
resqueue_queue_latency_seconds{queue="low"} 0

# HELP resqueue_queue_paused Whether a queue, or every queue, is paused.
# TYPE resqueue_queue_paused gauge
resqueue_queue_paused{queue="mail"} 0
resqueue_queue_paused{queue="low"} 1

# HELP resqueue_failed_list_jobs Entries of the failed list and of the failed lists of single queues.
# TYPE resqueue_failed_list_jobs gauge
resqueue_failed_list_jobs 3

# HELP resqueue_retry_jobs Failed jobs that wait for their next attempt.
# TYPE resqueue_retry_jobs gauge
resqueue_retry_jobs 2

# HELP resqueue_quarantined_jobs Payloads that cannot be jobs and were set aside.
# TYPE resqueue_quarantined_jobs gauge
resqueue_quarantined_jobs 1

# HELP resqueue_delayed_timestamps Points in time for which delayed jobs are kept.
# TYPE resqueue_delayed_timestamps gauge
resqueue_delayed_timestamps 5

# HELP resqueue_retry_overdue_seconds For how long the first retry has been due without being moved to its queue; 0 where none is due.
# TYPE resqueue_retry_overdue_seconds gauge
resqueue_retry_overdue_seconds 0

# HELP resqueue_delayed_overdue_seconds For how long the first delayed job has been due without being moved to its queue; 0 where none is due.
# TYPE resqueue_delayed_overdue_seconds gauge
resqueue_delayed_overdue_seconds 90.5

# HELP resqueue_workers Registrations in the Resque family's registry, foreign workers included; one per slot of ours.
# TYPE resqueue_workers gauge
resqueue_workers{state="busy"} 4
resqueue_workers{state="idle"} 6

# HELP resqueue_processed_jobs_total Attempts that ended, by the Resque family's statistics.
# TYPE resqueue_processed_jobs_total counter
resqueue_processed_jobs_total 1200

# HELP resqueue_failed_jobs_total Attempts that failed, by the Resque family's statistics.
# TYPE resqueue_failed_jobs_total counter
resqueue_failed_jobs_total 30

`)
    expect(telemetry.contentType).toBe('text/plain; version=0.0.4; charset=utf-8')
  })

  test('a worker that has done nothing shows its state and zeros', async () => {
    const text = await telemetryOf({ store: answering(system()) }).metrics()
    const from = text.slice(text.indexOf('# HELP resqueue_slots '))
    expect(
      from.split('\n').filter((line) => line !== '' && !line.startsWith('#') && !line.includes('_bucket')),
    ).toEqual([
      'resqueue_slots 4',
      'resqueue_slots_busy 0',
      'resqueue_worker_paused 0',
      'resqueue_forks_total{isolation="fork"} 0',
      'resqueue_fork_duration_seconds_sum 0',
      'resqueue_fork_duration_seconds_count 0',
      'resqueue_jobs_recovered_total 0',
      'resqueue_reserve_loop_age_seconds 0.25',
      `resqueue_build_info{version="1.2.3",node="${process.version}"} 1`,
      'resqueue_redis_commands_total 7',
      'resqueue_redis_reconnects_total 1',
    ])
  })

  test('jobs are counted by queue, class and result, and every result is there', async () => {
    const telemetry = telemetryOf()
    telemetry.observer.jobStarted('mail', 'Send', 0.02)
    telemetry.observer.jobFinished('mail', 'Send', 'succeeded', 2, 64 * 1024 * 1024)
    telemetry.observer.jobStarted('mail', 'Send', undefined)
    telemetry.observer.jobFinished('mail', 'Send', 'timed_out', 7200, undefined)
    telemetry.observer.forked('spawn', 0.004)
    telemetry.observer.recovered(3)
    const text = await telemetry.metrics()
    expect(linesOf(text, 'jobs_')).toEqual([
      'resqueue_jobs_started_total{queue="mail",class="Send"} 2',
      'resqueue_jobs_finished_total{result="succeeded",queue="mail",class="Send"} 1',
      'resqueue_jobs_finished_total{result="failed",queue="mail",class="Send"} 0',
      'resqueue_jobs_finished_total{result="skipped",queue="mail",class="Send"} 0',
      'resqueue_jobs_finished_total{result="timed_out",queue="mail",class="Send"} 1',
      'resqueue_jobs_finished_total{result="exited",queue="mail",class="Send"} 0',
      'resqueue_jobs_finished_total{result="signalled",queue="mail",class="Send"} 0',
      'resqueue_jobs_finished_total{result="out_of_memory",queue="mail",class="Send"} 0',
      'resqueue_jobs_finished_total{result="cancelled",queue="mail",class="Send"} 0',
      'resqueue_jobs_finished_total{result="retried",queue="mail",class="Send"} 0',
      'resqueue_jobs_recovered_total 3',
    ])
    expect(linesOf(text, 'job_duration')).toEqual([
      ...[0.01, 0.05, 0.1, 0.5, 1].map(
        (le) => `resqueue_job_duration_seconds_bucket{le="${le}",queue="mail",class="Send"} 0`,
      ),
      ...[5, 10, 30, 60, 300, 900, 3600].map(
        (le) => `resqueue_job_duration_seconds_bucket{le="${le}",queue="mail",class="Send"} 1`,
      ),
      'resqueue_job_duration_seconds_bucket{le="+Inf",queue="mail",class="Send"} 2',
      'resqueue_job_duration_seconds_sum{queue="mail",class="Send"} 7202',
      'resqueue_job_duration_seconds_count{queue="mail",class="Send"} 2',
    ])
    expect(linesOf(text, 'job_wait_seconds_count')).toEqual([
      'resqueue_job_wait_seconds_count{queue="mail",class="Send"} 1',
    ])
    expect(linesOf(text, 'job_peak_memory_bytes_bucket{le="67108864"')).toEqual([
      'resqueue_job_peak_memory_bytes_bucket{le="67108864",queue="mail",class="Send"} 1',
    ])
    expect(linesOf(text, 'forks_total')).toEqual([
      'resqueue_forks_total{isolation="fork"} 0',
      'resqueue_forks_total{isolation="spawn"} 1',
    ])
    parseExposition(text)
  })

  test('odd names and odd numbers give text that can be read', async () => {
    const names = [
      '',
      'App\\Jobs\\Send',
      'say "hi"',
      'two\nlines',
      'ä😀',
      'half \ud83d',
      'x'.repeat(100_000),
      '__proto__',
      'constructor',
      'a,b="c"',
      '}',
    ]
    const telemetry = telemetryOf({
      store: answering(system(1, 1, '', 2, '{}')),
      view: () => ({ ...idle, queues: names }),
    })
    for (const name of names) {
      telemetry.observer.jobStarted(name, name, Number.NaN)
      telemetry.observer.jobFinished(name, name, 'failed', -1, Infinity)
    }
    const text = await telemetry.metrics()
    expect(text.isWellFormed()).toBe(true)
    const metrics = parseExposition(text)
    expect(metrics.get('resqueue_jobs_started_total')?.samples.size).toBe(names.length)
    expect(metrics.get('resqueue_queue_jobs')?.samples.size).toBe(names.length)
    expect(text).toContain('resqueue_jobs_started_total{queue="App\\\\Jobs\\\\Send",class="App\\\\Jobs\\\\Send"} 1\n')
    expect(text).toContain('resqueue_queue_jobs{queue="two\\nlines"} 0\n')
  })
})

describe('labels are bounded', () => {
  const run = async (jobs: Iterable<[queue: string, className: string]>, maxClassLabels?: number) => {
    const telemetry = telemetryOf(maxClassLabels === undefined ? {} : { maxClassLabels })
    for (const [queue, className] of jobs) telemetry.observer.jobStarted(queue, className, undefined)
    return [...(parseExposition(await telemetry.metrics()).get('resqueue_jobs_started_total')?.samples ?? [])]
  }

  test('classes beyond the cap share other, also when it is seen in several queues', async () => {
    const jobs = ['A', 'B', 'C', 'D', 'A', 'other'].flatMap((c): [string, string][] => [
      ['q', c],
      ['r', c],
    ])
    expect(await run(jobs, 2)).toEqual([
      ['resqueue_jobs_started_total{class="A",queue="q"}', 2],
      ['resqueue_jobs_started_total{class="A",queue="r"}', 2],
      ['resqueue_jobs_started_total{class="B",queue="q"}', 1],
      ['resqueue_jobs_started_total{class="B",queue="r"}', 1],
      ['resqueue_jobs_started_total{class="other",queue="q"}', 3],
      ['resqueue_jobs_started_total{class="other",queue="r"}', 3],
    ])
  })

  test('200 classes by default', async () => {
    const samples = await run(Array.from({ length: 5000 }, (_, i) => ['q', `C${i}`]))
    expect(samples).toHaveLength(201)
    expect(samples.at(-1)).toEqual(['resqueue_jobs_started_total{class="other",queue="q"}', 4800])
  })

  test('queues, and pairs of a queue and a class', async () => {
    const samples = await run(Array.from({ length: 30_000 }, (_, i) => [`q${i % 3000}`, `C${i % 7}`]))
    expect(samples).toHaveLength(501)
    expect(samples.reduce((sum, [, jobs]) => sum + jobs, 0)).toBe(30_000)
  })

  test('queues whose long names begin alike share a label, and none hides how long jobs of another wait', async () => {
    const queues = ['late', 'empty'].map((end) => 'q'.repeat(128) + end)
    const payload = '{"class":"A","args":[],"queue_time":1795371757.5}'
    const rows = [1, 12, '20 9 1 900', payload.length, payload]
    const text = await telemetryOf({
      store: answering(system(...rows)),
      view: () => ({ ...idle, queues }),
    }).metrics()
    expect(linesOf(text, 'queue_').map((line) => line.replace(/\{.*\}/, ''))).toEqual([
      'resqueue_queue_jobs 12',
      'resqueue_queue_latency_seconds 42.5',
      'resqueue_queue_paused 0',
    ])
  })

  test('jobs of queues that are not shown add up under other, with those of a queue of that name', async () => {
    const queues = ['other', ...Array.from({ length: 1500 }, (_, i) => `q${i}`)]
    const reply = system(1, 5, '', 2, '{}')
    reply[13] = '37'
    const metrics = parseExposition(
      await telemetryOf({ store: answering(reply), view: () => ({ ...idle, queues }) }).metrics(),
    )
    expect(metrics.get('resqueue_queue_jobs')?.samples.size).toBe(1000)
    expect(metrics.get('resqueue_queue_jobs')?.samples.get('resqueue_queue_jobs{queue="other"}')).toBe(42)
    expect(metrics.get('resqueue_queue_latency_seconds')?.samples.size).toBe(1000)
  })
})

test('without a store there is nothing of the queue system, and what Redis refuses is told once', async () => {
  expect(await telemetryOf().metrics()).not.toContain('resqueue_redis_up')
  const told: string[] = []
  const telemetry = telemetryOf({
    store: { ...answering([]), run: () => Promise.reject(new Error('NOPERM no permission')) },
    log: { warn: (fields) => void told.push(JSON.stringify(fields)) },
  })
  for (const _ of [1, 2]) {
    const metrics = parseExposition(await telemetry.metrics())
    expect(metrics.get('resqueue_redis_up')?.samples.get('resqueue_redis_up')).toBe(0)
    expect(metrics.get('resqueue_queue_jobs')?.samples.size).toBe(0)
  }
  expect(told).toEqual(['{"error.message":"NOPERM no permission"}'])
})

test('a Redis that answers but lets the worker do nothing is not up, and what it says is shown', async () => {
  const store = answering(system())
  const metrics = parseExposition(
    await telemetryOf({ store, view: () => ({ ...idle, waitsForRedis: true }) }).metrics(),
  )
  expect(metrics.get('resqueue_redis_up')?.samples.get('resqueue_redis_up')).toBe(0)
  expect(metrics.get('resqueue_queue_jobs')?.samples.size).toBe(2)
})

test('docs/metrics.md lists exactly the metrics that there are, with type and labels', async () => {
  const telemetry = telemetryOf({ store: answering(system(1, 1, '', 2, '{}')), processMetrics: true })
  telemetry.observer.jobStarted('q', 'A', 1)
  telemetry.observer.jobFinished('q', 'A', 'failed', 1, 1)
  const controller = createControllerTelemetry({
    view: () => ({ leading: true, queueDepth: 0, kubeRequests: { requests: 1, failed: 0 } }),
    version: '0',
    redisCounts: () => ({ commands: 0, reconnects: 0 }),
  })
  const terms = { rate: 1, backlog: 1, busy: 1, lookahead: 1 }
  const jobs = { waiting: 1, running: 1, arrivalRate: 1, serviceSeconds: 1, latencySeconds: 1 }
  controller.scalers.observed('a/b', { replicas: 1, ready: 1, draining: 0, decision: { replicas: 1, terms, ...jobs } })
  controller.scalers.conditions('a/b', [{ type: 'Ready', status: 'True' }])
  controller.scalers.held('a/b', 'RedisUnavailable')
  controller.scalers.scaled('a/b', 'up', 'Backlog')
  controller.scalers.unserved('default', 1)
  const both = new Map([...parseExposition(await controller.metrics()), ...parseExposition(await telemetry.metrics())])
  const present = [...both.values()]
  const docs = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
  const documented = [...docs.matchAll(/^\| `(\w+)` \| (\w+) \|([^|]*)\| [^|]+ \|$/gm)].map(
    ([, name, type, labels]) =>
      [
        name as string,
        {
          type,
          labels: (labels as string)
            .split(',')
            .map((label) => label.trim())
            .filter((label) => label !== '')
            .sort(),
        },
      ] as const,
  )
  expect(documented.map(([name]) => name).toSorted()).toEqual(present.map((metric) => metric.name).toSorted())
  const byName = new Map(documented)
  const told = present.filter((metric) => metric.samples.size > 0)
  expect(told.map(({ name }) => [name, byName.get(name)])).toEqual(
    told.map(({ name, type, labels }) => [name, { type, labels }]),
  )
})

test('a count of unserved jobs that is not renewed is shown no more', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  try {
    const { metrics, scalers } = createControllerTelemetry({
      view: () => ({ leading: true, queueDepth: 0, kubeRequests: { requests: 0, failed: 0 } }),
      version: '0',
      redisCounts: () => ({ commands: 0, reconnects: 0 }),
    })
    const shown = async (): Promise<unknown> => [
      ...(parseExposition(await metrics()).get('resqueue_unserved_jobs')?.samples ?? []),
    ]
    scalers.unserved('default', 3)
    vi.advanceTimersByTime(119_000)
    expect(await shown()).toEqual([['resqueue_unserved_jobs{connection="default"}', 3]])
    vi.advanceTimersByTime(2000)
    expect(await shown()).toEqual([])
  } finally {
    vi.useRealTimers()
  }
})

test('ActiveJob is known by its own class', () => {
  const wrapper = 'ActiveJob::QueueAdapters::ResqueAdapter::JobWrapper'
  expect(shownClass({ class: wrapper, args: [{ job_class: 'Mail::Send', arguments: [] }] })).toBe('Mail::Send')
  expect(shownClass({ class: wrapper, args: [] })).toBe(wrapper)
  expect(shownClass({ class: wrapper, args: [{ job_class: 5 }] })).toBe(wrapper)
  expect(shownClass({ class: 'Send', args: [{ job_class: 'Mail::Send' }] })).toBe('Send')
})
