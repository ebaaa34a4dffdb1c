import type { Redis } from 'ioredis'
import { inject, test as base } from 'vitest'
import { dropNamespace, namespaceOf, openClient, takeLeakedKeys } from './redis.ts'
import { own } from './scope.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The redis-server that all tests share. */
    redisUrl: string
  }
}

export interface Fixtures {
  /** URL of the redis-server that all tests share. Each test keeps to its namespace there. */
  readonly redisUrl: string
  /** A plain client of that server, for looking at and preparing keys. */
  readonly redis: Redis
  /**
   * The test's own namespace; `{${ns}}` is its as well. Dropped when the test passes, kept for inspection when it
   * fails. The test fails when anything has written keys outside any test's namespace.
   */
  readonly ns: string
}

/**
 * `test` with a shared Redis and a namespace. Take only the fixtures you need: `test('…', async ({ redis, ns }) => …)`.
 */
export const test = base.extend<Fixtures>({
  redisUrl: async ({}, use) => {
    await use(inject('redisUrl'))
  },
  redis: async ({ redisUrl }, use) => {
    await use(openClient(redisUrl))
  },
  ns: async ({ redisUrl, task }, use) => {
    const ns = namespaceOf(task.file.filepath, task.fullTestName)
    const client = openClient(redisUrl)
    await dropNamespace(client, ns)
    own('namespace', async () => {
      const leaked = await takeLeakedKeys(client)
      if (task.result?.state === 'pass' && leaked.length === 0) await dropNamespace(client, ns)
      else console.error(`The keys of the failed test are kept: SCAN 0 MATCH ${ns}* at ${redisUrl}`)
      if (leaked.length > 0)
        throw new Error(`Keys were written outside the namespace ${ns}: ${leaked.slice(0, 10).join(', ')}`)
    })
    await use(ns)
  },
})
