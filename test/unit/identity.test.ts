import { expect, test } from 'vitest'
import { selectQueues } from '../../src/queue/selection.ts'
import { identify } from '../../src/worker/identity.ts'
import { waitFor } from '../support/wait.ts'

test('a drain mark needs the uid and the namespace of the pod, and what is not known is registered as such', () => {
  const of = (env: NodeJS.ProcessEnv): unknown[] => {
    const { drainMark, registration } = identify('w', 'r', env)
    const { pod_uid, pod_namespace } = registration(1, selectQueues(['q']), 'fork')
    return [drainMark, pod_uid, pod_namespace]
  }
  expect(of({ POD_UID: 'u', POD_NAMESPACE: 'jobs' })).toEqual(['jobs/u', 'u', 'jobs'])
  expect(of({ POD_UID: 'u' })).toEqual(['', 'u', ''])
  expect(of({ POD_NAMESPACE: 'jobs' })).toEqual(['', '', 'jobs'])
})

test('only a container that says its name is known for the successor of another', () => {
  const of = (env: NodeJS.ProcessEnv): string => identify('w', 'r', env).instance
  expect(of({ POD_UID: 'u', CONTAINER_NAME: 'worker' })).toBe('u/worker')
  expect(of({ POD_UID: 'u' })).toBe('')
  expect(of({ CONTAINER_NAME: 'worker' })).toBe('')
})

test('a worker that registers anew is another process that started when the first did', async () => {
  const { registration } = identify('w')
  const first = registration(1, selectQueues(['q']), 'fork')
  await waitFor(() => Date.now() > first.started)
  const second = registration(1, selectQueues(['q']), 'fork')
  expect(second.started).toBe(first.started)
  expect(second.nonce).not.toBe(first.nonce)
})
