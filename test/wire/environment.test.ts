import { expect, test } from 'vitest'
import { redisConfig } from '../../src/cli/redis.ts'
import { resolve } from '../../src/cli/resolve.ts'
import { workerOptions } from '../../src/cli/workeroptions.ts'
import { redisGroup, workerGroups } from '../../src/config.ts'
import { parseEndpoint } from '../../src/redis/url.ts'

const OPTIONS = [redisGroup, ...workerGroups].flatMap((group) => group.options)
const settings = (env: NodeJS.ProcessEnv, argv: readonly string[] = []) =>
  resolve(OPTIONS, argv, { JOBS: '/jobs', QUEUE: 'default', ...env })
const worker = (env: NodeJS.ProcessEnv, argv?: readonly string[]) => workerOptions(settings(env, argv))
const redis = (env: NodeJS.ProcessEnv) => {
  const config = redisConfig(settings(env))
  return { ...parseEndpoint(config), namespace: config.namespace }
}

/** What the family's programs read from their environment, and what it means here. */
const VARIABLES: readonly (readonly [env: NodeJS.ProcessEnv, meaning: object])[] = [
  [{ QUEUE: 'high,low' }, { queues: ['high', 'low'] }],
  [{ QUEUE: 'one', QUEUES: '*,!slow' }, { queues: ['*', '!slow'] }],
  [{ INTERVAL: '5' }, { intervalMs: 5000, burst: false }],
  [{ INTERVAL: '0.5' }, { intervalMs: 500, burst: false }],
  [{ INTERVAL: '0' }, { burst: true }],
  [{ COUNT: '4' }, { concurrency: 4 }],
  [{ BLOCKING: '1' }, { blocking: true }],
  [{ BLOCKING: 'false' }, { blocking: false }],
  [{ APP_INCLUDE: '/app/jobs.js', JOBS: '' }, { engine: { jobs: '/app/jobs.js' } }],
  [{ FORK_PER_JOB: 'false' }, { engine: { jobsPerChild: 0 } }],
  [{ RESQUE_TERM_TIMEOUT: '4' }, { engine: { killDelayMs: 4000 } }],
  [{ RESQUE_PRE_SHUTDOWN_TIMEOUT: '30' }, { shutdownTimeoutMs: 30_000 }],
  [{ FAILURE_BACKEND: 'redis_multi_queue' }, { failureBackends: [{ kind: 'multi-queue' }] }],
  [
    {},
    {
      concurrency: 1,
      intervalMs: 1000,
      blocking: true,
      failureBackends: [{ kind: 'redis' }],
      engine: { jobsPerChild: 1 },
    },
  ],
]

for (const [env, meaning] of VARIABLES) {
  test(`the family's environment is understood: ${JSON.stringify(env)}`, () => {
    expect(worker(env)).toMatchObject(meaning)
  })
}

test("the family's ways to name Redis and the namespace are understood", () => {
  expect(redis({})).toMatchObject({ kind: 'single', host: '127.0.0.1', port: 6379, db: 0, namespace: 'resque' })
  expect(redis({ REDIS_BACKEND: 'redis' })).toMatchObject({ host: 'redis', port: 6379 })
  expect(redis({ REDIS_BACKEND: 'redis:7000', REDIS_BACKEND_DB: '3' })).toMatchObject({
    host: 'redis',
    port: 7000,
    db: 3,
  })
  expect(redis({ REDIS_BACKEND: 'tcp://h:1' })).toMatchObject({ kind: 'single', host: 'h', port: 1 })
  expect(redis({ REDIS_BACKEND: 'redis://user:p%40ss@h:1/2' })).toMatchObject({
    username: 'user',
    password: 'p@ss',
    db: 2,
  })
  expect(redis({ REDIS_BACKEND: 'unix:///run/redis.sock' })).toMatchObject({ kind: 'socket', path: '/run/redis.sock' })
  expect(redis({ PREFIX: 'resQueue:' })).toMatchObject({ namespace: 'resQueue:' })
  expect(redis({ REDIS_BACKEND: 'a:1', REDIS_URL: 'redis://b:2' })).toMatchObject({ host: 'b', port: 2 })
})

test('a flag goes before the environment', () => {
  expect(worker({ QUEUE: 'env', COUNT: '4' }, ['--queues', 'flag'])).toMatchObject({ queues: ['flag'], concurrency: 4 })
})
