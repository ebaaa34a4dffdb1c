import { presence, text, type Option, type OptionGroup } from './option.ts'
import { duration, integer, mebibytes, oneOf, queueList } from './values.ts'

const DAY = 86_400_000

export const queues: Option<readonly string[]> = {
  flag: 'queues',
  env: [{ name: 'QUEUES' }, { name: 'QUEUE' }],
  value: 'LIST',
  fallback: [],
  merge: (values) => [...new Set(values.flat())],
  about:
    "Queues to serve, in order of priority: names, '*' for all, globs such as mail-*, and !name to skip one. Required.",
  read: queueList,
}

export const jobs: Option<string | undefined> = text(
  'jobs',
  'PATH',
  'Module that exports jobs, or a folder of such modules. Required.',
  'JOBS',
  'APP_INCLUDE',
)

export const concurrency: Option<number> = {
  flag: 'concurrency',
  env: [{ name: 'COUNT' }],
  value: 'N',
  fallback: 1,
  shown: '1',
  about: 'Jobs that run at once (slots), 1 to 512.',
  read: integer({ min: 1, max: 512 }),
}

export const isolation: Option<'auto' | 'fork' | 'spawn' | 'inline'> = {
  flag: 'isolation',
  value: 'HOW',
  choices: ['auto', 'fork', 'spawn', 'inline'],
  fallback: 'auto',
  shown: 'auto',
  about:
    'Where jobs run: fork (a real fork of a process that has loaded them), spawn (a fresh process), inline (the worker itself: no isolation); auto uses fork where it works, else spawn.',
  read: oneOf(['auto', 'fork', 'spawn', 'inline']),
}

export const jobsPerChild: Option<number> = {
  flag: 'jobs-per-child',
  env: [presence('FORK_PER_JOB', (on) => (on ? '1' : '0'), 'false → 0, anything else → 1')],
  value: 'N',
  fallback: 1,
  shown: '1',
  about: 'Jobs that one process performs before it is replaced; 0: no limit.',
  read: integer({ min: 0, max: 1_000_000_000 }),
}

export const jobMemory: Option<number | undefined> = {
  flag: 'job-memory',
  value: 'MiB',
  fallback: undefined,
  shown: 'no limit',
  about:
    'Memory that one job may use, in MiB or as 512Mi, 2Gi. Beyond it the job is killed and recorded as out of memory.',
  read: mebibytes({ min: 16, max: 1024 * 1024 }),
}

export const timeout: Option<number | undefined> = {
  flag: 'timeout',
  value: 'TIME',
  fallback: undefined,
  shown: 'no limit',
  about: 'How long a job may run, unless its definition says otherwise: 90 (seconds), 5m, 1h.',
  read: duration({ min: 1, max: 365 * DAY }),
}

export const hooks: Option<string | undefined> = text(
  'hooks',
  'FILE',
  'Module with listeners for events in the worker and in the job processes.',
)

export const failureBackend: Option<readonly string[]> = {
  flag: 'failure-backend',
  env: [{ name: 'FAILURE_BACKEND' }],
  value: 'LIST',
  fallback: ['redis'],
  shown: 'redis',
  merge: (values) => [...new Set(values.flat())],
  about:
    'Where failures are recorded: redis (the list "failed"), multi-queue (a list per queue), a module (./file.ts), or several, separated by commas.',
  read: (text) => [...new Set(text.split(',').map((part) => readBackend(part.trim())))],
}
/** What a worker works. */
export const workGroup: OptionGroup = {
  title: 'What to run',
  options: [queues, jobs, concurrency, isolation, jobsPerChild, jobMemory, timeout, hooks, failureBackend],
}

function readBackend(text: string): string {
  const word = text.toLowerCase().replaceAll('_', '-')
  if (word === 'redis' || word === 'multi-queue') return word
  if (word === 'redis-multi-queue') return 'multi-queue'
  if (/[./\\]/.test(text)) return text
  return oneOf(['redis', 'multi-queue', './module'])(text)
}
