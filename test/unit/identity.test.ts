import { expect, test } from 'vitest'
import { identify } from '../../src/worker/identity.ts'
import { waitFor } from '../support/wait.ts'

test('a worker that registers anew is another process that started when the first did', async () => {
  const { registration } = identify('w')
  const first = registration(1, 'q', 'fork')
  await waitFor(() => Date.now() > first.started)
  const second = registration(1, 'q', 'fork')
  expect(second.started).toBe(first.started)
  expect(second.nonce).not.toBe(first.nonce)
})
