import { ALL, FAILURES, line, quantile, QUEUE, type Row } from './panel.ts'

/** The row that says at once whether all is well. */
export const GLANCE: Row = {
  title: 'At a glance',
  width: 3,
  height: 4,
  panels: [
    {
      title: 'Waiting',
      about: 'Jobs that wait in all chosen queues.',
      unit: 'short',
      stat: {},
      targets: [line(`sum(max by (namespace, job, queue) (resqueue_queue_jobs{${QUEUE}}))`, '')],
    },
    {
      title: 'Longest wait',
      about: 'Age of the oldest first job of a queue.',
      unit: 's',
      stat: { orange: 60, red: 300 },
      targets: [line(`max(resqueue_queue_latency_seconds{${QUEUE}})`, '')],
    },
    {
      title: 'Done',
      about: 'Attempts that ended, per second.',
      unit: 'ops',
      stat: {},
      targets: [line(`sum(rate(resqueue_jobs_finished_total{${QUEUE}}[$__rate_interval]))`, '')],
    },
    {
      title: 'Failing',
      about: 'Share of the attempts that failed.',
      unit: 'percentunit',
      stat: { orange: 0.02, red: 0.1 },
      targets: [
        line(
          `sum(rate(resqueue_jobs_finished_total{${QUEUE},${FAILURES}}[$__rate_interval])) / (sum(rate(resqueue_jobs_finished_total{${QUEUE}}[$__rate_interval])) > 0)`,
          '',
        ),
      ],
    },
    {
      title: 'Slots busy',
      about: 'Share of the slots that run a job.',
      unit: 'percentunit',
      stat: {},
      targets: [line(`sum(resqueue_slots_busy{${ALL}}) / sum(resqueue_slots{${ALL}})`, '')],
    },
    {
      title: 'Failed list',
      about: 'Entries in the failed lists, for a person to look at.',
      unit: 'short',
      stat: { orange: 1 },
      targets: [line(`sum(max by (namespace, job) (resqueue_failed_list_jobs{${ALL}}))`, '')],
    },
    {
      title: 'Quarantine',
      about: 'Payloads that cannot be jobs.',
      unit: 'short',
      stat: { orange: 1 },
      targets: [line(`sum(max by (namespace, job) (resqueue_quarantined_jobs{${ALL}}))`, '')],
    },
    {
      title: 'Without Redis',
      about: 'Pods that get no answer from Redis, or cannot work with it.',
      unit: 'short',
      stat: { red: 1 },
      targets: [line(`count(resqueue_redis_up{${ALL}} == 0) or vector(0)`, '')],
    },
  ],
}

/** The row about queues. */
export const QUEUES: Row = {
  title: 'Queues',
  width: 8,
  height: 8,
  panels: [
    {
      title: 'Jobs waiting',
      about: 'By queue; every worker shows the same number, so the highest is taken.',
      unit: 'short',
      stacked: true,
      targets: [line(`sum by (queue) (max by (namespace, job, queue) (resqueue_queue_jobs{${QUEUE}}))`, '{{queue}}')],
    },
    {
      title: 'Age of the first job',
      about:
        'How long the job at the head of each queue has waited; for how long delayed jobs and retries have been due without being moved to theirs.',
      unit: 's',
      targets: [
        line(`max by (queue) (resqueue_queue_latency_seconds{${QUEUE}})`, '{{queue}}'),
        line(`max(resqueue_delayed_overdue_seconds{${ALL}}) > 0`, 'delayed, overdue'),
        line(`max(resqueue_retry_overdue_seconds{${ALL}}) > 0`, 'retries, overdue'),
      ],
    },
    {
      title: 'Wait of jobs that started',
      about: 'Time in the queue, half of the jobs and 95 % of them.',
      unit: 's',
      targets: [
        line(quantile(0.5, 'resqueue_job_wait_seconds', 'queue', QUEUE), '{{queue}} p50'),
        line(quantile(0.95, 'resqueue_job_wait_seconds', 'queue', QUEUE), '{{queue}} p95'),
      ],
    },
    {
      title: 'Delayed, retries, failed',
      about:
        'Failed jobs that wait for their next attempt, points in time with delayed jobs, and entries of the failed lists.',
      unit: 'short',
      targets: [
        line(`sum(max by (namespace, job) (resqueue_retry_jobs{${ALL}}))`, 'retries'),
        line(`sum(max by (namespace, job) (resqueue_delayed_timestamps{${ALL}}))`, 'delayed timestamps'),
        line(`sum(max by (namespace, job) (resqueue_failed_list_jobs{${ALL}}))`, 'failed list'),
      ],
    },
    {
      title: 'Paused',
      about: '1 while a queue or a worker is paused.',
      unit: 'short',
      max: 1,
      targets: [
        line(`max by (queue) (resqueue_queue_paused{${QUEUE}}) == 1`, '{{queue}}'),
        line(`max by (pod) (resqueue_worker_paused{${ALL}}) == 1`, '{{pod}}'),
      ],
    },
    {
      title: 'Processed by the whole family',
      about: 'The family’s own counters: also workers of other programs count here.',
      unit: 'ops',
      targets: [
        line(
          `sum(max by (namespace, job) (rate(resqueue_processed_jobs_total{${ALL}}[$__rate_interval])))`,
          'processed',
        ),
        line(`sum(max by (namespace, job) (rate(resqueue_failed_jobs_total{${ALL}}[$__rate_interval])))`, 'failed'),
      ],
    },
  ],
}

/** The row about jobs. */
export const JOBS: Row = {
  title: 'Jobs',
  width: 8,
  height: 8,
  panels: [
    {
      title: 'Started',
      about: 'By class, per second.',
      unit: 'ops',
      stacked: true,
      targets: [line(`sum by (class) (rate(resqueue_jobs_started_total{${QUEUE}}[$__rate_interval]))`, '{{class}}')],
    },
    {
      title: 'Ended, by result',
      about: 'Per second.',
      unit: 'ops',
      stacked: true,
      targets: [
        line(`sum by (result) (rate(resqueue_jobs_finished_total{${QUEUE}}[$__rate_interval])) > 0`, '{{result}}'),
      ],
    },
    {
      title: 'Failing classes',
      about: 'Attempts that failed, per second, of the ten worst.',
      unit: 'ops',
      targets: [
        line(
          `topk(10, sum by (queue, class) (rate(resqueue_jobs_finished_total{${QUEUE},${FAILURES}}[$__rate_interval])) > 0)`,
          '{{queue}} {{class}}',
        ),
      ],
    },
    {
      title: 'Duration, 95 %',
      about: 'By class, the ten slowest.',
      unit: 's',
      targets: [line(`topk(10, ${quantile(0.95, 'resqueue_job_duration_seconds', 'class', QUEUE)})`, '{{class}}')],
    },
    {
      title: 'Duration, mean',
      about: 'By class, the ten slowest.',
      unit: 's',
      targets: [
        line(
          `topk(10, sum by (class) (rate(resqueue_job_duration_seconds_sum{${QUEUE}}[$__rate_interval])) / (sum by (class) (rate(resqueue_job_duration_seconds_count{${QUEUE}}[$__rate_interval])) > 0))`,
          '{{class}}',
        ),
      ],
    },
    {
      title: 'Peak memory of jobs, 95 %',
      about: 'By class, the ten largest.',
      unit: 'bytes',
      targets: [line(`topk(10, ${quantile(0.95, 'resqueue_job_peak_memory_bytes', 'class', QUEUE)})`, '{{class}}')],
    },
  ],
}
