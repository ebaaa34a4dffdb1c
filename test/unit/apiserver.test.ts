import { expect, test } from 'vitest'
import type { ApiServer } from '../../src/controller/apiserver.ts'
import { collection, listAll, PODS, SCALERS } from '../../src/controller/resources.ts'
import { startApiServer } from '../support/apiserver.ts'

/** Follows a watch to its end: what came, and why it ended. */
async function follow(api: ApiServer, silenceMs = 500): Promise<readonly string[]> {
  const lines: string[] = []
  try {
    for await (const line of api.watch({ path: '/watch', silenceMs })) lines.push(line)
  } catch (error) {
    lines.push((error as Error).message.replace(/.*answer: /, ''))
  }
  return lines
}

test('a watch that falls silent has not failed; one that is never answered or breaks off has', async () => {
  const silent = await startApiServer((_, response) => void response.write('one\n'))
  expect(await follow(silent, 1500)).toEqual(['one'])
  expect(silent.counts).toEqual({ requests: 1, failed: 0 })

  const mute = await startApiServer(() => undefined)
  expect(await follow(mute)).toEqual(['no answer in time.'])
  expect(mute.counts).toEqual({ requests: 1, failed: 1 })

  const broken = await startApiServer((_, response) => {
    response.write('one\n', () => response.destroy())
  })
  expect(await follow(broken, 9000)).toEqual(['one', 'aborted.'])
  expect(broken.counts).toEqual({ requests: 1, failed: 1 })
})

test('a watch without credentials leaves no timer behind', async () => {
  const api = await startApiServer(
    () => undefined,
    () => {
      throw new Error('no token')
    },
  )
  const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
  const before = timers()
  expect(await follow(api)).toEqual(['no token'])
  expect(timers()).toBe(before)
})

test('refused credentials are read anew, also by a request that was sent away before', async () => {
  let [reads, busy] = [0, 1]
  const api = await startApiServer(
    (request, response) => {
      response.statusCode = busy-- > 0 ? 503 : request.headers.authorization === 'old' ? 401 : 200
      response.setHeader('retry-after', '0')
      response.end('{}')
    },
    () => (reads++ === 0 ? 'old' : 'new'),
  )
  expect((await api.request({ path: '/' })).status).toBe(200)
  expect(reads).toBe(2)
})

test('a cluster without the custom resource is told from one that refuses', async () => {
  const api = await startApiServer((request, response) => {
    // As the API server answers for a group that it does not have.
    response.statusCode = request.url?.includes('resqueue.dev') ? 404 : 403
    response.end('404 page not found\n')
  })
  await expect(listAll(api, collection(SCALERS, 'shop'))).rejects.toThrow(
    '(404): 404 page not found. Install the custom resource WorkerScaler: kubectl apply --server-side -f deploy/crds.yaml.',
  )
  await expect(listAll(api, collection(PODS, 'shop'))).rejects.toThrow(/Check the service account and its roles\.$/)
})

test('how far the clock of the API server is ahead is known from its answers, where it is more than a moment', async () => {
  let aheadMs: number | null = 0
  const api = await startApiServer((_, response) => {
    if (aheadMs === null) response.sendDate = false
    else response.setHeader('date', new Date(Date.now() + aheadMs).toUTCString())
    response.end('{}')
  })
  expect(api.aheadMs).toBe(0)
  for (const [ahead, least, most] of [
    [120_000, 118_000, 122_000],
    [null, 118_000, 122_000],
    [-3_600_000, -3_602_000, -3_598_000],
    [1000, 0, 0],
  ] as const) {
    aheadMs = ahead
    await api.request({ path: '/' })
    expect(api.aheadMs).toBeGreaterThanOrEqual(least)
    expect(api.aheadMs).toBeLessThanOrEqual(most)
  }
})
