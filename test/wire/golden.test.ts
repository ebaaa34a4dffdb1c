import { expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { elements, goldenText, load, readGolden } from './golden.ts'
import { startWireWorker, waitForRest } from './worker.ts'

test('smoke', async ({ redis, redisUrl, ns }) => {
  const dump = readGolden('01-enqueue.txt')
  await load(redis, ns, dump['enqueue by php'] ?? [])
  const worker = await startWireWorker(redisUrl, ns)
  await worker.sees(2)
  await waitForRest(redis, ns)
  console.log(worker.seen, await worker.ids())
  expect(elements(dump['enqueue by php'], 'queue:default')).toHaveLength(2)
  expect(goldenText('07-matrix.txt')).toContain('php')
})
