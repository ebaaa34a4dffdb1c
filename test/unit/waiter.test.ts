import { expect, test } from 'vitest'
import type { Store } from '../../src/redis/store.ts'
import { startWaiter } from '../../src/worker/waiter.ts'

test('a wait that Redis refuses is not tried again at once, even after a nudge', async () => {
  let waits = 0
  const blocking = {
    command: () => {
      waits++
      return Promise.reject(new Error('WRONGTYPE'))
    },
    close: () => undefined,
  }
  const store = { keys: { token: (queue: string) => `token:${queue}` }, open: () => blocking } as unknown as Store
  const waiter = startWaiter(store, { able: () => true, queues: () => ['q'], woken: () => undefined })
  waiter.nudge()
  await new Promise((resolve) => setTimeout(resolve, 200))
  waiter.stop()
  expect(waits).toBeLessThanOrEqual(2)
})
