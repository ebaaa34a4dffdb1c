import type { Family } from './verb.ts'

/** The first words of the command line, in the order of the overview. A family's module is loaded when it is used. */
export const families: readonly Family[] = [
  { name: 'work', summary: 'run a worker', load: async () => (await import('./work.ts')).verbs },
  {
    name: 'control',
    summary: 'run the controller that scales workers on Kubernetes',
    load: async () => (await import('./control.ts')).verbs,
  },
  { name: 'enqueue', summary: 'enqueue jobs', load: async () => (await import('./enqueue.ts')).verbs },
  {
    name: 'queue',
    summary: 'list, peek into, pause, resume, empty and remove queues',
    load: async () => (await import('./queue.ts')).verbs,
  },
  {
    name: 'worker',
    summary: 'list, pause and resume workers, remove dead ones',
    load: async () => (await import('./worker.ts')).verbs,
  },
  {
    name: 'failed',
    summary: 'list, retry and remove failed jobs',
    load: async () => (await import('./failed.ts')).verbs,
  },
  {
    name: 'quarantine',
    summary: 'list, release and remove payloads that cannot be jobs',
    load: async () => (await import('./quarantine.ts')).verbs,
  },
  {
    name: 'retry',
    summary: 'list and remove jobs that wait for their next attempt',
    load: async () => (await import('./retry.ts')).verbs,
  },
  {
    name: 'delayed',
    summary: 'list and remove delayed jobs',
    load: async () => (await import('./delayed.ts')).verbs,
  },
  { name: 'job', summary: 'find a job by its id', load: async () => (await import('./job.ts')).verbs },
  { name: 'stats', summary: 'show the totals', load: async () => (await import('./stats.ts')).verbs },
  {
    name: 'doctor',
    summary: 'check Redis and the data in it, with advice',
    load: async () => (await import('./doctor.ts')).verbs,
  },
  {
    name: 'scaler',
    summary: 'list WorkerScalers and explain their decisions',
    load: async () => (await import('./scaler.ts')).verbs,
  },
  {
    name: 'simulate',
    summary: 'try a WorkerScaler on a recorded load, without a cluster',
    load: async () => (await import('./simulate.ts')).verbs,
  },
  {
    name: 'health',
    summary: 'check whether a worker is healthy',
    load: async () => (await import('./health.ts')).verbs,
  },
  { name: 'version', summary: 'show the version', load: async () => (await import('./version.ts')).verbs },
  {
    name: 'completion',
    summary: 'print a completion script for your shell',
    load: async () => (await import('./completion.ts')).verbsFor(families),
  },
]
