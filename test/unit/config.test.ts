import { readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { redisConfig } from '../../src/cli/redis.ts'
import { resolve } from '../../src/cli/resolve.ts'
import { workerOptions } from '../../src/cli/workeroptions.ts'
import * as config from '../../src/config.ts'
import { controllerGroup } from '../../src/controloptions.ts'
import type { Option, OptionGroup } from '../../src/option.ts'
import type { WorkerOptions } from '../../src/worker/options.ts'

const GROUPS: readonly OptionGroup[] = [...config.workerGroups, config.redisGroup]
const DOCUMENTED: readonly OptionGroup[] = [...GROUPS, controllerGroup]
const ALL = GROUPS.flatMap((group) => group.options)
const BASE = ['--queues', 'mail', '--jobs', './jobs']

function options(argv: readonly string[], env: NodeJS.ProcessEnv = {}): WorkerOptions {
  return workerOptions(resolve(ALL, argv, env))
}

function value<T>(option: Option<T>, argv: readonly string[], env: NodeJS.ProcessEnv = {}): T {
  return resolve(ALL, argv, env).get(option)
}

function complaint(argv: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const error = thrownBy(() => options(argv, env))
  expect(error).toMatchObject({ code: 'USAGE', exitCode: 64 })
  return error.message
}

function thrownBy(run: () => unknown): Error {
  try {
    run()
  } catch (error) {
    return error as Error
  }
  throw new Error('Nothing was wrong')
}

describe('what a worker is told', () => {
  test('defaults are those of the documentation', () => {
    expect(options(BASE)).toEqual({
      queues: ['mail'],
      concurrency: 1,
      engine: { isolation: 'auto', jobs: `${process.cwd()}/jobs`, jobsPerChild: 1, killDelayMs: 5000 },
      intervalMs: 1000,
      blocking: true,
      burst: false,
      shutdownTimeoutMs: 25_000,
      maxRecoveries: 3,
      failFast: false,
      failureBackends: [{ kind: 'redis' }],
    })
    expect(value(config.port, BASE)).toBe(9090)
    expect(value(config.maxClassLabels, BASE)).toBe(200)
    expect(value(config.logLevel, BASE)).toBe('info')
    expect(value(config.namespace, BASE)).toBe('resque')
  })

  test('every option arrives', () => {
    const argv = `
      --queues critical,mail-* --queues !slow --jobs /srv/jobs --concurrency=4
      --isolation spawn --jobs-per-child 0 --job-memory 1Gi --timeout 5m --hooks /srv/hooks.js
      --interval 250ms --failure-backend multi-queue,./mine.js --no-blocking --burst
      --max-jobs 9 --shutdown-timeout 1m --kill-delay 0.5 --max-recoveries 0
      --fail-fast --worker-name w-1
    `
      .trim()
      .split(/\s+/)
    expect(options(argv)).toEqual({
      queues: ['critical', 'mail-*', '!slow'],
      concurrency: 4,
      engine: {
        isolation: 'spawn',
        jobs: '/srv/jobs',
        hooks: '/srv/hooks.js',
        jobsPerChild: 0,
        jobMemoryMiB: 1024,
        timeoutMs: 300_000,
        killDelayMs: 500,
      },
      intervalMs: 250,
      blocking: false,
      burst: true,
      maxJobs: 9,
      shutdownTimeoutMs: 60_000,
      maxRecoveries: 0,
      failFast: true,
      failureBackends: [{ kind: 'multi-queue' }, { kind: 'module', file: `${process.cwd()}/mine.js` }],
      name: 'w-1',
      hooks: '/srv/hooks.js',
    })
  })

  test("the family's environment works (R78, R80)", () => {
    const env = {
      QUEUE: 'a, b,a',
      JOBS: '/srv/jobs',
      COUNT: '3',
      INTERVAL: '0.2',
      BLOCKING: '0',
      FORK_PER_JOB: 'false',
      RESQUE_TERM_TIMEOUT: '4.0',
      FAILURE_BACKEND: 'redis_multi_queue',
      VVERBOSE: '1',
      PORT: '8080',
      PIDFILE: '/run/w.pid',
    }
    expect(options([], env)).toMatchObject({
      queues: ['a', 'b'],
      concurrency: 3,
      intervalMs: 200,
      blocking: false,
      engine: { jobsPerChild: 0, killDelayMs: 4000 },
      failureBackends: [{ kind: 'multi-queue' }],
    })
    expect(value(config.logLevel, [], env)).toBe('debug')
    expect(value(config.port, [], env)).toBe(8080)
    expect(value(config.pidfile, [], env)).toBe('/run/w.pid')
  })

  test('an option goes before the environment, and the first of several variables counts', () => {
    expect(value(config.queues, ['--queues', 'x'], { QUEUES: 'y', QUEUE: 'z' })).toEqual(['x'])
    expect(value(config.queues, [], { QUEUES: 'y', QUEUE: 'z' })).toEqual(['y'])
    expect(value(config.queues, [], { QUEUES: '', QUEUE: 'z' })).toEqual(['z'])
    expect(value(config.logLevel, [], { VERBOSE: '1', VVERBOSE: '1' })).toBe('debug')
    expect(value(config.logLevel, [], { VERBOSE: '1', LOG_LEVEL: 'WARNING' })).toBe('warn')
    expect(value(config.blocking, [], { BLOCKING: 'yes please' })).toBe(true)
  })

  test('interval 0 is burst (R23)', () => {
    expect(options(BASE, { INTERVAL: '0' })).toMatchObject({ burst: true, intervalMs: 1000 })
  })
})

describe('what is refused', () => {
  test('everything that is wrong is said at once', () => {
    const said = complaint(['--queus', 'a', '--interval', 'soon', '--concurrency', '0'], { PORT: '99999' })
    expect(said.split('; ')).toEqual([
      'there is no option --queus',
      'did you mean --queues?',
      expect.stringMatching(/^--interval: "soon" is not a duration/),
      'seconds are meant, or write 500ms, 30s, 5m, 1h or 7d',
      '--concurrency: 0 is too small',
      'the least is 1',
      'PORT: 99999 is too large',
      'the most is 65535',
    ])
    expect(said).not.toContain('\n')
  })

  test.for([
    [['--queues', ' , ', '--jobs', 'j'], '--queues: " , " names no queue'],
    [['--jobs', 'j'], 'missing --queues (QUEUES)'],
    [['--queues', 'a'], 'missing --jobs (JOBS)'],
    [[...BASE, '--burst=yes'], '--burst takes no value'],
    [[...BASE, '--timeout'], '--timeout needs a value (TIME)'],
    [[...BASE, '--redis', '--burst'], '--redis needs a value (URL)'],
    [[...BASE, '--isolation', 'thread'], '"thread" is not one of auto, fork, spawn, inline'],
    [[...BASE, '--job-memory', '1T'], '"1T" is not a size'],
    [[...BASE, '--job-memory', '8'], '8 MiB is too small; the least is 16 MiB'],
    [[...BASE, '--interval', '2h'], '2h is too large; the most is 1h'],
    [[...BASE, '--max-jobs', '1.5'], '"1.5" is not a whole number'],
    [[...BASE, '--worker-name', 'a:b'], 'holds a colon'],
    [[...BASE, '--failure-backend', 'sentry'], '"sentry" is not one of redis, multi-queue, ./module'],
    [[...BASE, '-x'], 'there is no option -x'],
  ] as const)('%j', ([argv, text]) => {
    expect(complaint(argv)).toContain(text)
  })
})

describe('where Redis is', () => {
  const redis = (argv: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    redisConfig(resolve(config.redisGroup.options, argv, env))

  test('defaults, flags and variables', () => {
    expect(redis([])).toEqual({ url: 'redis://127.0.0.1:6379', namespace: 'resque' })
    expect(redis([], { REDIS_BACKEND: 'db:6380', REDIS_BACKEND_DB: '2', PREFIX: 'resQueue' })).toEqual({
      url: 'db:6380',
      namespace: 'resQueue',
      db: 2,
    })
    expect(redis(['--namespace', ''])).toMatchObject({ namespace: '' })
    expect(redis(['--redis-ca', 'ca.pem'], { REDIS_PASSWORD: 'p', REDIS_PASSWORD_FILE: '/f' })).toMatchObject({
      password: 'p',
      passwordFile: '/f',
      tls: { ca: 'ca.pem' },
    })
    expect(
      redis(['--redis-sentinel-password-file', '/s'], {
        REDIS_SENTINEL_USERNAME: 'app',
        REDIS_SENTINEL_PASSWORD: 'p',
      }),
    ).toMatchObject({ sentinel: { username: 'app', password: 'p', passwordFile: '/s' } })
  })

  test('a URL that cannot be used is refused before anything is opened, its password unseen', () => {
    expect(() => redis(['--redis', 'http://u:secret@x'])).toThrow(/^The Redis URL http:\/\/u:\*\*\*@x cannot be used/)
    expect(() => redis(['--redis', 'redis-cluster://x'])).toThrow('{resque}')
    expect(() => redis(['--redis-cert', 'c.pem'])).toThrow(
      '--redis-cert and --redis-key (REDIS_TLS_CERT and REDIS_TLS_KEY) go together',
    )
  })
})

test('options are named once, and variables belong to one option', () => {
  const flags = ALL.map((option) => option.flag).filter((flag) => flag !== '')
  expect(new Set(flags).size).toBe(flags.length)
  const variables = ALL.flatMap((option) => option.env ?? []).map(({ name }) => name)
  expect(new Set(variables).size).toBe(variables.length)
})

test('docs/configuration.md lists the options as they are', () => {
  const file = new URL('../../docs/configuration.md', import.meta.url)
  const text = readFileSync(file, 'utf8')
  const [head, rest] = text.split(/(?<=<!-- options: .* -->\n)/) as [string, string]
  const end = rest.indexOf('<!-- end of options -->')
  const wanted = `${DOCUMENTED.map(markdown).join('')}\n`
  const update = process.env['UPDATE_DOCS'] !== undefined
  if (update) writeFileSync(file, head + wanted + rest.slice(end))
  expect(update ? wanted : rest.slice(0, end), 'UPDATE_DOCS=1 npm run test:unit writes it anew').toBe(wanted)
})

function markdown({ title, options: group }: OptionGroup): string {
  const rows = group.map((option) => {
    const flag =
      option.flag === ''
        ? ''
        : `\`--${option.negative ? 'no-' : ''}${option.flag}${option.value ? ` ${option.value}` : ''}\``
    const env = (option.env ?? []).map(({ name, about }) => `\`${name}\`${about ? ` (${about})` : ''}`).join(', ')
    return `| ${flag} | ${env} | ${option.shown ?? ''} | ${option.about.replaceAll('*', '\\*')} |`.replaceAll(
      / {2,}/g,
      ' ',
    )
  })
  return [`\n## ${title}\n`, '| option | environment | default | |', '|---|---|---|---|', ...rows, ''].join('\n')
}
