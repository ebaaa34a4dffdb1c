import { expect, test } from 'vitest'
import { tended } from '../../src/controller/caretaker.ts'
import type { RedisView } from '../../src/controller/view.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'

test('however many look, one look follows soon while something of gone workers is left', async () => {
  let looks = 0
  let leads = true
  own('looks', () => (leads = false))
  const view = {} as RedisView
  const viewer = { want: () => undefined, look: async () => (looks++, view), known: [] }
  const { look } = tended(viewer, { tend: async () => true }, () => leads)
  await Promise.all(Array.from({ length: 100 }, () => look(0)))
  await waitFor(() => looks >= 103)
  expect(looks).toBeLessThan(200)
})
