import { expect, test } from 'vitest'
import type { Store } from '../../src/redis/store.ts'
import type { Ahead } from '../../src/worker/ahead.ts'
import { startWaiter } from '../../src/worker/waiter.ts'

test('a wait that Redis refuses is not tried again at once, even after a nudge', async () => {
  let waits = 0
  const ahead: Ahead = () => {
    waits++
    return Promise.reject(new Error('WRONGTYPE'))
  }
  const store = { open: () => ({ close: () => undefined }) } as unknown as Store
  const waiter = startWaiter(store, { able: () => true, queues: () => ['q'], ahead })
  waiter.nudge()
  await new Promise((resolve) => setTimeout(resolve, 200))
  waiter.stop()
  expect(waits).toBeLessThanOrEqual(2)
})
