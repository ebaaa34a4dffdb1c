import { readFileSync } from 'node:fs'
import { expect, onTestFinished, vi } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { openClient, startRedis } from '../support/redis.ts'
import { startGuardedSentinel } from '../support/sentinel.ts'
import { startTlsRedis } from '../support/tls.ts'

function environment(variables: Readonly<Record<string, string>>): void {
  onTestFinished(() => void vi.unstubAllEnvs())
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
}

test('a client without options finds the Redis that a worker finds in the same environment: TLS, password, database', async ({
  ns,
}) => {
  const { url, ca, cert, key } = await startTlsRedis({ clientAuth: true })
  const tls = { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) }
  const admin = openClient(url, { tls, db: 3 })
  await admin.config('SET', 'requirepass', 'secret')
  environment({
    REDIS_URL: '', // empty counts as not set
    REDIS_BACKEND: url.replace('rediss:', 'redis:'),
    REDIS_BACKEND_DB: '3',
    REDIS_PASSWORD: 'secret',
    REDIS_TLS_CA: ca,
    REDIS_TLS_CERT: cert,
    REDIS_TLS_KEY: key,
    PREFIX: ns,
  })
  await using client = new ResQueue()
  await client.enqueue('mail', 'SendEmail')
  expect(await admin.llen(`${ns}:queue:mail`)).toBe(1)
})

test('and the Sentinels, with the password that they have', async ({ ns }) => {
  const primary = await startRedis({ args: ['--requirepass', 'secret'], password: 'secret' })
  const sentinel = await startGuardedSentinel(primary, { own: 'other', primary: 'secret' })
  environment({
    REDIS_URL: `redis-sentinel://127.0.0.1:${sentinel.port}/mymaster`,
    REDIS_PASSWORD: 'secret',
    REDIS_SENTINEL_PASSWORD: 'other',
    PREFIX: ns,
  })
  await using client = new ResQueue()
  await client.enqueue('mail', 'SendEmail')
  expect(await primary.client().llen(`${ns}:queue:mail`)).toBe(1)
})

test('a client that is told where Redis is takes the namespace from the environment, and nothing of another server', async ({
  redis,
  redisUrl,
  ns,
}) => {
  environment({
    REDIS_URL: 'rediss://nowhere.invalid',
    REDIS_BACKEND_DB: 'none',
    REDIS_PASSWORD: 'secret',
    REDIS_TLS_CA: '/nowhere/ca.pem',
    PREFIX: ns,
  })
  await using client = new ResQueue({ redis: redisUrl })
  await client.enqueue('mail', 'SendEmail')
  expect(await redis.llen(`${ns}:queue:mail`)).toBe(1)
  expect(() => new ResQueue()).toThrow('REDIS_BACKEND_DB: "none" is not a whole number')
})
