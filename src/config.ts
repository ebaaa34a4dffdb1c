import { ResQueueError } from './errors.ts'
import type { LogLevel } from './log.ts'
import { duration, integer, mebibytes, oneOf, queueList, words, yesNo } from './values.ts'
import { presence, text, type Option, type OptionGroup } from './option.ts'

const MINUTE = 60_000
const DAY = 86_400_000

// Redis

export const redisUrl: Option<string> = {
  flag: 'redis',
  env: [{ name: 'REDIS_URL' }, { name: 'REDIS_BACKEND' }],
  value: 'URL',
  fallback: 'redis://127.0.0.1:6379',
  shown: 'redis://127.0.0.1:6379',
  about:
    'Redis: redis://[user:password@]host[:port][/db], rediss:// with TLS, unix:///path, host:port, redis-sentinel://h1,h2/name or redis-cluster://h1,h2.',
  read: words,
}

export const namespace: Option<string> = {
  flag: 'namespace',
  env: [{ name: 'PREFIX' }],
  value: 'NAME',
  fallback: 'resque',
  shown: 'resque',
  about: "What all keys in Redis start with. In a Redis Cluster it needs a hash tag: '{resque}'.",
  read: (text) => text,
}

export const redisDb: Option<number | undefined> = {
  flag: 'redis-db',
  env: [{ name: 'REDIS_BACKEND_DB' }],
  value: 'N',
  fallback: undefined,
  about: 'Database number; goes before the one in the URL.',
  read: integer({ min: 0, max: 1_000_000 }),
}

export const redisPassword: Option<string | undefined> = {
  flag: '',
  env: [{ name: 'REDIS_PASSWORD' }],
  fallback: undefined,
  about: 'Password for Redis. There is no flag for it, because other users of a machine can read command lines.',
  read: words,
}

export const redisPasswordFile: Option<string | undefined> = text(
  'redis-password-file',
  'FILE',
  'File with the password, read again at every connection, so that a rotated secret is picked up.',
  'REDIS_PASSWORD_FILE',
)

export const redisCa: Option<string | undefined> = text(
  'redis-ca',
  'FILE',
  'Certificates (PEM) to trust for TLS; turns TLS on.',
  'REDIS_TLS_CA',
)

export const redisCert: Option<string | undefined> = text(
  'redis-cert',
  'FILE',
  "The client's own certificate (PEM), with --redis-key.",
  'REDIS_TLS_CERT',
)

export const redisKey: Option<string | undefined> = text(
  'redis-key',
  'FILE',
  "Key (PEM) of the client's certificate.",
  'REDIS_TLS_KEY',
)

export const redisGroup: OptionGroup = {
  title: 'Redis',
  options: [redisUrl, namespace, redisDb, redisPassword, redisPasswordFile, redisCa, redisCert, redisKey],
}

// What a worker works

export const queues: Option<readonly string[]> = {
  flag: 'queues',
  env: [{ name: 'QUEUES' }, { name: 'QUEUE' }],
  value: 'LIST',
  fallback: [],
  merge: (values) => [...new Set(values.flat())],
  about:
    "Queues to serve, in order of priority: critical,mail or '*' for all, globs such as mail-*, and !name for one to skip. Required.",
  read: queueList,
}

export const jobs: Option<string | undefined> = text(
  'jobs',
  'PATH',
  'Module that exports jobs, or a folder whose modules are jobs. Required.',
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
    'How job code is kept apart: fork (a real fork of a loaded process), spawn (a fresh process), inline (in the worker itself: no isolation); auto takes fork where it works.',
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
  about: 'How long a job may run where its class says nothing: 90 (seconds), 5m, 1h.',
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
    'Where failures are recorded: redis (the list "failed"), multi-queue (a list per queue), a module (./file.ts), or several separated by commas.',
  read: (text) => [...new Set(text.split(',').map((part) => readBackend(part.trim())))],
}

// How it works them

export const interval: Option<number> = {
  flag: 'interval',
  env: [{ name: 'INTERVAL' }],
  value: 'TIME',
  fallback: 1000,
  shown: '1s',
  about: 'Between two looks at the queues while idle: 1 (second), 0.5, 250ms. 0 is --burst.',
  read: (text) => {
    const ms = duration({ min: 0, max: 60 * MINUTE })(text)
    return ms > 0 && ms < 10 ? 10 : ms
  },
}

export const blocking: Option<boolean> = {
  flag: 'blocking',
  env: [presence('BLOCKING', String, 'false → polling, anything else → blocking')],
  negative: true,
  fallback: true,
  shown: 'blocking',
  about: 'Only poll; without it an idle worker also waits for word of new jobs and starts them at once.',
  read: yesNo,
}

export const burst: Option<boolean> = {
  flag: 'burst',
  fallback: false,
  about: 'Leave when no job is waiting and none runs.',
  read: yesNo,
}

export const maxJobs: Option<number | undefined> = {
  flag: 'max-jobs',
  value: 'N',
  fallback: undefined,
  shown: 'no limit',
  about: 'Leave after this many jobs.',
  read: integer({ min: 1 }),
}

export const shutdownTimeout: Option<number> = {
  flag: 'shutdown-timeout',
  env: [{ name: 'RESQUE_PRE_SHUTDOWN_TIMEOUT' }],
  value: 'TIME',
  fallback: 25_000,
  shown: '25s',
  about:
    'After TERM: how long running jobs may take to end by themselves before they are stopped and put back. Keep it, with --kill-delay, below the terminationGracePeriodSeconds of the pod.',
  read: duration({ min: 0, max: 30 * DAY }),
}

export const killDelay: Option<number> = {
  flag: 'kill-delay',
  env: [{ name: 'RESQUE_TERM_TIMEOUT' }],
  value: 'TIME',
  fallback: 5000,
  shown: '5s',
  about: 'From TERM to KILL when the process of a job is stopped.',
  read: duration({ min: 0, max: 60 * MINUTE }),
}

export const maxRecoveries: Option<number> = {
  flag: 'max-recoveries',
  value: 'N',
  fallback: 3,
  shown: '3',
  about: 'How often a job is put back after its worker was lost before it counts as failed.',
  read: integer({ min: 0, max: 1_000_000 }),
}

export const failFast: Option<boolean> = {
  flag: 'fail-fast',
  fallback: false,
  about: 'Exit with 69 when Redis is absent at the start, instead of waiting for it.',
  read: yesNo,
}

export const workerName: Option<string | undefined> = {
  flag: 'worker-name',
  value: 'NAME',
  fallback: undefined,
  shown: 'POD_NAME, else the host name',
  about: 'Name under which the worker registers.',
  read: readName,
}

export const pidfile: Option<string | undefined> = text(
  'pidfile',
  'FILE',
  'File to write the process id to; removed at the end.',
  'PIDFILE',
)

// What it shows

export const port: Option<number> = {
  flag: 'port',
  env: [{ name: 'PORT' }],
  value: 'N',
  fallback: 9090,
  shown: '9090',
  about: 'Port of /livez, /readyz, /healthz and /metrics; 0: a free one, which is logged.',
  read: integer({ min: 0, max: 65_535 }),
}

export const maxClassLabels: Option<number> = {
  flag: 'max-class-labels',
  value: 'N',
  fallback: 200,
  shown: '200',
  about: 'Job classes that get their own label in metrics; the rest is counted as "other".',
  read: integer({ min: 0, max: 100_000 }),
}

const LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

export const logLevel: Option<LogLevel> = {
  flag: 'log-level',
  env: [
    { name: 'LOG_LEVEL' },
    presence('VVERBOSE', (on) => (on ? 'debug' : undefined), 'present → debug'),
    presence('VERBOSE', (on) => (on ? 'info' : undefined), 'present → info'),
    presence('LOGGING', (on) => (on ? 'info' : undefined), 'present → info'),
  ],
  value: 'LEVEL',
  choices: LEVELS,
  fallback: 'info',
  shown: 'info',
  about: 'Least level that is logged.',
  read: oneOf(LEVELS, { warning: 'warn', none: 'silent', off: 'silent' }),
}

/** Everything that `resqueue work` can be told, besides Redis. */
export const workerGroups: readonly OptionGroup[] = [
  {
    title: 'What to work',
    options: [queues, jobs, concurrency, isolation, jobsPerChild, jobMemory, timeout, hooks, failureBackend],
  },
  {
    title: 'How to work',
    options: [
      interval,
      blocking,
      burst,
      maxJobs,
      shutdownTimeout,
      killDelay,
      maxRecoveries,
      failFast,
      workerName,
      pidfile,
    ],
  },
  { title: 'What to show', options: [port, maxClassLabels, logLevel] },
]

function readBackend(text: string): string {
  const word = text.toLowerCase().replaceAll('_', '-')
  if (word === 'redis' || word === 'multi-queue') return word
  if (word === 'redis-multi-queue') return 'multi-queue'
  if (/[./\\]/.test(text)) return text
  return oneOf(['redis', 'multi-queue', './module'])(text)
}

function readName(text: string): string {
  const name = words(text).trim()
  if (!/[:,\s\p{Cc}]/u.test(name)) return name
  throw new ResQueueError('USAGE', `"${name}" holds a colon, a comma or white space, which worker ids cannot carry`)
}
