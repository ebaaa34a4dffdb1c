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
