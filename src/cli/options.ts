import { text, type Option, type OptionGroup } from '../option.ts'
import { MOST_SECONDS } from '../retry.ts'
import { duration, integer, moment, oneOf, past, yesNo } from '../values.ts'

// Options of verbs: told once, like those in config.ts, but without variables, because they belong to one call.

export const output: Option<'table' | 'json'> = {
  flag: 'output',
  short: 'o',
  value: 'FORMAT',
  choices: ['table', 'json'],
  fallback: 'table',
  shown: 'table',
  about: 'table for people, json for programs.',
  read: oneOf(['table', 'json']),
}

export const help: Option<boolean> = {
  flag: 'help',
  short: 'h',
  fallback: false,
  about: 'Show this help.',
  read: yesNo,
}

export const yes: Option<boolean> = {
  flag: 'yes',
  short: 'y',
  fallback: false,
  about: 'Do not ask for confirmation. Required where there is no terminal.',
  read: yesNo,
}

export const all: Option<boolean> = {
  flag: 'all',
  fallback: false,
  about: 'All of them; instead of a filter.',
  read: yesNo,
}

export const dryRun: Option<boolean> = {
  flag: 'dry-run',
  fallback: false,
  about: 'Report what would be done, and change nothing.',
  read: yesNo,
}

/** Rows that a listing shows at most; 0: no limit. */
export const limit: Option<number> = {
  flag: 'limit',
  value: 'N',
  fallback: 100,
  shown: '100',
  about: 'Show at most N; 0: all.',
  read: (value) => integer({ min: 0 })(value) || Infinity,
}

/** Things that an action takes at most. */
export const most: Option<number | undefined> = {
  flag: 'limit',
  value: 'N',
  fallback: undefined,
  about: 'Act on at most N: the oldest, or those that are due first.',
  read: integer({ min: 1 }),
}

export const queueFilter: Option<string | undefined> = text('queue', 'NAME', 'Only jobs of this queue.')

export const classFilter: Option<string | undefined> = text('class', 'NAME', 'Only jobs of this class.')

export const idFilter: Option<string | undefined> = text('id', 'ID', 'Only the job with this id.')

export const prefix: Option<string | undefined> = text('prefix', 'TEXT', 'Prefix of the status key, as in php-resque.')

export const errorFilter: Option<string | undefined> = text(
  'error',
  'TEXT',
  'Only failures whose exception or message contains this text.',
)

export const sinceFilter: Option<number | undefined> = {
  flag: 'since',
  value: 'TIME',
  fallback: undefined,
  about: 'Only what is newer: 90m, 7d or 2030-01-31T08:00:00Z.',
  read: past(Date.now),
}

export const untilFilter: Option<number | undefined> = {
  flag: 'until',
  value: 'TIME',
  fallback: undefined,
  about: 'Only what is older: 90m, 30d or 2030-01-31T08:00:00Z.',
  read: past(Date.now),
}

export const at: Option<number | undefined> = {
  flag: 'at',
  value: 'TIME',
  fallback: undefined,
  about: 'Delay the job until this time: 2030-01-31T08:00:00Z or seconds since 1970.',
  read: moment,
}

export const inTime: Option<number | undefined> = {
  flag: 'in',
  value: 'TIME',
  fallback: undefined,
  about: 'Delay the job: 90 (seconds), 15m, 2h.',
  read: duration({ min: 0, max: MOST_SECONDS * 1000 }),
}

/** What every verb takes. */
export const commonGroup: OptionGroup = { title: 'Common', options: [help] }
