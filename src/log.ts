import { createRequire } from 'node:module'
import type prettyFactory from 'pino-pretty'
import { pino, type DestinationStream, type LoggerOptions } from 'pino'
import { defined } from './defined.ts'
import { printableJson } from './printable.ts'
import { createSink } from './sink.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

/** What the rooms write their log with: fields first, then one sentence. Arguments of jobs are never logged. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  isLevelEnabled(level: string): boolean
  child(fields: object): Logger
}

/**
 * JSON lines on stdout, or lines for people where `pretty`, which cannot play with a terminal: one for each message in
 * either case. Times are ISO 8601; levels are names. pino-pretty is loaded only when asked for.
 */
export function createLogger(options: { level: LogLevel; pretty?: boolean; destination?: DestinationStream }): Logger {
  const settings: LoggerOptions = {
    level: options.level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    // Errors come as fields of their own making (worker/logfields.ts), whose type pino would take for `Object`.
    serializers: { err: (value: unknown) => value },
  }
  const { destination } = options
  if (!options.pretty) return pino(settings, destination ?? createSink(1))
  const pretty = createRequire(import.meta.url)('pino-pretty') as typeof prettyFactory
  return pino(
    { ...settings, hooks: { streamWrite: printableJson } },
    pretty({
      colorize: !process.env['NO_COLOR'],
      ignore: 'pid,hostname',
      singleLine: true,
      translateTime: 'SYS:HH:MM:ss.l',
      sync: true,
      ...defined({ destination }),
    }),
  )
}

/** A logger that writes nothing, for the client and for tests. */
export const silentLogger: Logger = Object.freeze({
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  isLevelEnabled: () => false,
  child: () => silentLogger,
})
