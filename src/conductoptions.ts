import { ResQueueError } from './errors.ts'
import { presence, text, type Option, type OptionGroup } from './option.ts'
import { duration, integer, words, yesNo } from './values.ts'

const MINUTE = 60_000
const DAY = 86_400_000

export const interval: Option<number> = {
  flag: 'interval',
  env: [{ name: 'INTERVAL' }],
  value: 'TIME',
  fallback: 1000,
  shown: '1s',
  about: 'Polling interval while idle: 1 (second), 0.5, 250ms. 0 means --burst.',
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
  about:
    'Only poll. Otherwise an idle worker is also woken by each enqueue of the ResQueue client and starts the job at once.',
  read: yesNo,
}

export const burst: Option<boolean> = {
  flag: 'burst',
  fallback: false,
  about: 'Exit when no job is waiting or running.',
  read: yesNo,
}

export const maxJobs: Option<number | undefined> = {
  flag: 'max-jobs',
  value: 'N',
  fallback: undefined,
  shown: 'no limit',
  about: 'Exit after this many jobs.',
  read: integer({ min: 1 }),
}

export const shutdownTimeout: Option<number> = {
  flag: 'shutdown-timeout',
  env: [{ name: 'RESQUE_PRE_SHUTDOWN_TIMEOUT' }],
  value: 'TIME',
  fallback: 25_000,
  shown: '25s',
  about:
    'After TERM: how long running jobs may take to finish before they are stopped and put back. Together with --kill-delay, keep it below the terminationGracePeriodSeconds of the pod.',
  read: duration({ min: 0, max: 30 * DAY }),
}

export const killDelay: Option<number> = {
  flag: 'kill-delay',
  env: [{ name: 'RESQUE_TERM_TIMEOUT' }],
  value: 'TIME',
  fallback: 5000,
  shown: '5s',
  about: 'Time between TERM and KILL when the process of a job is stopped.',
  read: duration({ min: 0, max: 60 * MINUTE }),
}

export const maxRecoveries: Option<number> = {
  flag: 'max-recoveries',
  value: 'N',
  fallback: 3,
  shown: '3',
  about: 'How many times a job is put back after losing its worker; after that it counts as failed.',
  read: integer({ min: 0, max: 1_000_000 }),
}

export const failFast: Option<boolean> = {
  flag: 'fail-fast',
  fallback: false,
  about: 'Exit with 69 when Redis is unavailable at the start, instead of waiting for it.',
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
/** How a worker goes about it. */
export const conductGroup: OptionGroup = {
  title: 'How to run it',
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
}

function readName(text: string): string {
  const name = words(text).trim()
  if (!/[:,\s\p{Cc}]/u.test(name)) return name
  throw new ResQueueError('USAGE', `"${name}" holds a colon, a comma or white space, which worker ids cannot carry`)
}
