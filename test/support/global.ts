import type { TestProject } from 'vitest/node'
import { startRedis } from './redis.ts'
import { closeScope } from './scope.ts'

/**
 * One redis-server for all tests, on a free port, writing nothing to disk. RESQUEUE_TEST_REDIS_URL names another one
 * instead, for example to look at the keys that a failed test left.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['RESQUEUE_TEST_REDIS_URL']
  project.provide('redisUrl', given ?? (await startRedis()).url)
  return closeScope
}
