import type { Family, Verb } from './verb.ts'

/** The first words of the command line, in the order of the overview. A family's module is loaded when it is used. */
export const families: readonly Family[] = [
  { name: 'work', summary: 'run a worker', load: async () => (await import('./work.ts')).verbs },
  {
    name: 'control',
    summary: 'run the controller that scales workers on Kubernetes',
    load: async () => (await import('./control.ts')).verbs,
  },
  { name: 'enqueue', summary: 'put jobs into a queue', load: async () => (await import('./enqueue.ts')).verbs },
  {
    name: 'queue',
    summary: 'look at queues, pause, resume, empty and remove them',
    load: async () => (await import('./queue.ts')).verbs,
  },
  {
    name: 'worker',
    summary: 'look at workers, pause and resume them, remove dead ones',
    load: async () => (await import('./worker.ts')).verbs,
  },
  {
    name: 'failed',
    summary: 'look at failed jobs, retry and remove them',
    load: async () => (await import('./failed.ts')).verbs,
  },
  {
    name: 'quarantine',
    summary: 'look at what could not be a job, release and remove it',
    load: async () => (await import('./quarantine.ts')).verbs,
  },
  {
    name: 'retry',
    summary: 'look at jobs that wait for another attempt, remove them',
    load: async () => (await import('./retry.ts')).verbs,
  },
  {
    name: 'delayed',
    summary: 'look at jobs for later, remove them',
    load: async () => (await import('./delayed.ts')).verbs,
  },
  { name: 'job', summary: 'find a job', load: async () => (await import('./job.ts')).verbs },
  { name: 'stats', summary: 'the system at a glance', load: async () => (await import('./stats.ts')).verbs },
  { name: 'doctor', summary: 'check Redis and what is in it', load: async () => (await import('./doctor.ts')).verbs },
  {
    name: 'scaler',
    summary: 'look at WorkerScalers and why they want what they want',
    load: async () => (await import('./scaler.ts')).verbs,
  },
  {
    name: 'simulate',
    summary: 'try a WorkerScaler on a trace of jobs',
    load: async () => (await import('./simulate.ts')).verbs,
  },
  { name: 'health', summary: 'ask a worker how it is', load: async () => (await import('./health.ts')).verbs },
  { name: 'version', summary: 'what is installed', load: async () => (await import('./version.ts')).verbs },
  {
    name: 'completion',
    summary: 'a completion script for your shell',
    load: async () => (await import('./completion.ts')).verbs,
  },
]

/** A verb as it is typed behind `resqueue`: `queue ls`. */
export function nameOf(family: Family, verb: Verb): string {
  return verb.name === '' ? family.name : `${family.name} ${verb.name}`
}
