import { expect, test } from 'vitest'
import { openPods } from '../../src/controller/podwatch.ts'
import { startApiServer } from '../support/apiserver.ts'
import { waitFor } from '../support/wait.ts'

test('the watch of a namespace that is not wanted any more ends, and begins anew when it is', async () => {
  const open = new Set<string>()
  let lists = 0
  const api = await startApiServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://api')
    if (!searchParams.has('watch')) {
      lists++
      return response.end(JSON.stringify({ metadata: { resourceVersion: '1' }, items: [] }))
    }
    open.add(pathname)
    response.on('close', () => open.delete(pathname))
    response.flushHeaders()
  })
  const over = new AbortController()
  const broke: unknown[] = []
  const pods = openPods(
    api,
    over.signal,
    (error) => broke.push(error),
    () => undefined,
  )
  const path = (namespace: string): string => `/api/v1/namespaces/${namespace}/pods`
  pods.of('shop')
  pods.of('mail')
  await waitFor(() => open.size === 2)
  pods.keep(new Set(['shop']))
  await waitFor(() => open.size === 1)
  expect([...open]).toEqual([path('shop')])
  expect(pods.known('mail')).toBeUndefined()
  pods.of('mail')
  await waitFor(() => open.size === 2)
  expect(lists).toBe(3)
  over.abort()
  await pods.ended()
  expect(broke).toEqual([])
})
