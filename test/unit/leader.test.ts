import { expect, test } from 'vitest'
import { elect } from '../../src/controller/leader.ts'
import { silentLogger } from '../../src/log.ts'
import { startApiServer } from '../support/apiserver.ts'

test('who ceases to lead keeps no lease from others', async () => {
  const api = await startApiServer((request, response) => {
    response.statusCode = request.method === 'GET' ? 404 : 201
    request.pipe(response)
  })
  const lead = async (): Promise<void> => {
    throw new Error('a bug')
  }
  const options = { api, namespace: 'shop', name: 'c', identity: 'me', log: silentLogger }
  expect(await elect(options, lead, AbortSignal.timeout(8000))).toBe('lost')
})

/** A lease that another holds, at an API server that answers its readers with `status`. Resolves with the writes. */
async function writesWhileHeld(status: number, looks: number): Promise<readonly string[]> {
  const writes: string[] = []
  const stop = new AbortController()
  let reads = 0
  const api = await startApiServer((request, response) => {
    if (request.method !== 'GET') writes.push(request.method ?? '')
    else if (++reads === looks) stop.abort()
    response.statusCode = status
    response.end(
      JSON.stringify({
        metadata: { name: 'c', namespace: 'shop', resourceVersion: '7' },
        spec: { holderIdentity: 'another', leaseDurationSeconds: 15, renewTime: '2020-01-01T00:00:00.000000Z' },
      }),
    )
  })
  const lead = async (): Promise<void> => void writes.push('led')
  const options = { api, namespace: 'shop', name: 'c', identity: 'me', log: silentLogger }
  expect(await elect(options, lead, stop.signal)).toBe('stopped')
  return writes
}

test('a lease of another is left alone, however old it looks by his clock', async () => {
  expect(await writesWhileHeld(200, 2)).toEqual([])
})

test('who cannot know whose the lease is does not lead', async () => {
  expect(await writesWhileHeld(409, 1)).toEqual([])
})
