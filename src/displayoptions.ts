import type { LogLevel } from './log.ts'
import { presence, type Option, type OptionGroup } from './option.ts'
import { integer, oneOf, words } from './values.ts'

export const port: Option<number> = {
  flag: 'port',
  env: [{ name: 'PORT' }],
  value: 'N',
  fallback: 9090,
  shown: '9090',
  about: 'Port of /livez, /readyz, /healthz and /metrics; 0: any free port, which is logged.',
  read: integer({ min: 0, max: 65_535 }),
}

export const host: Option<string | undefined> = {
  flag: 'host',
  value: 'HOST',
  fallback: undefined,
  about:
    'Address or name that --port is bound to: 127.0.0.1 keeps it on this machine. Default: every address, as Kubernetes needs.',
  read: (given) => words(given).replace(/^\[(.*)\]$/, '$1'),
}

export const maxClassLabels: Option<number> = {
  flag: 'max-class-labels',
  value: 'N',
  fallback: 200,
  shown: '200',
  about: 'How many job classes get a metrics label of their own; the rest share "other".',
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
  about: 'Lowest level to log.',
  read: oneOf(LEVELS, { warning: 'warn', none: 'silent', off: 'silent' }),
}
/** What a worker shows. */
export const displayGroup: OptionGroup = {
  title: 'Endpoints and log',
  options: [port, host, maxClassLabels, logLevel],
}
