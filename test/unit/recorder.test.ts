import { expect, test } from 'vitest'
import type { ApiServer } from '../../src/controller/apiserver.ts'
import { createRecorder } from '../../src/controller/events.ts'
import { silentLogger } from '../../src/log.ts'
import { scalerOf } from '../support/scaler.ts'

const MINUTE = 60_000

test('the same thing again is counted once a minute, and is new after six, for each object', async () => {
  const sent: string[] = []
  let now = 0
  const api = {
    request: async ({ method }: { method: string }) => {
      sent.push(method)
      return { status: method === 'POST' ? 201 : 200, body: {}, retryAfterMs: undefined }
    },
  } as unknown as ApiServer
  const { record } = createRecorder(api, 'me', silentLogger, { now: () => now, monotonic: () => now })
  const take = async (atMinute: number, uid: string): Promise<string> => {
    now = atMinute * MINUTE
    await record({ namespace: 'shop', name: uid, uid }, 'TargetNotFound', 'why')
    return sent.splice(0).join()
  }
  expect(await take(0, 'a')).toBe('POST')
  expect(await take(0.5, 'a')).toBe('')
  expect(await take(1.5, 'a')).toBe('PATCH')
  // Others come; one that goes on stays, one that is over is new.
  expect(await take(5, 'b')).toBe('POST')
  expect(await take(7, 'a')).toBe('PATCH')
  expect(await take(12, 'c')).toBe('POST')
  expect(await take(12.5, 'a')).toBe('PATCH')
  expect(await take(13, 'b')).toBe('POST')
})

test('an event is about the reference of an object, whatever else the object has', async () => {
  const bodies: unknown[] = []
  const api = {
    request: async ({ body }: { body: unknown }) => {
      bodies.push(body)
      return { status: 201, body: {}, retryAfterMs: undefined }
    },
  } as unknown as ApiServer
  const { record } = createRecorder(api, 'me', silentLogger)
  await record(scalerOf(), 'DrainStarted', 'why')
  const [{ regarding }] = bodies as [{ regarding: object }]
  expect(Object.keys(regarding).sort()).toEqual(['apiVersion', 'kind', 'name', 'namespace', 'uid'])
})
