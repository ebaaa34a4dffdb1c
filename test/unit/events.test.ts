import { expect, test, vi } from 'vitest'
import { createEvents } from '../../src/queue/events.ts'

interface Told {
  ping: [a: number, b: string]
  pong: []
}

test('listeners are called and awaited in the order in which they came', async () => {
  const events = createEvents<Told>()
  const seen: unknown[] = []
  events.listen('ping', async (a, b) => {
    await new Promise(setImmediate)
    seen.push(['first', a, b])
  })
  events.listen('ping', (a) => seen.push(['second', a]))
  expect(await events.trigger('ping', 1, 'x')).toBe(true)
  expect(seen).toEqual([
    ['first', 1, 'x'],
    ['second', 1],
  ])
})

test('a listener is taken away by its handle, by itself, or with all', async () => {
  const events = createEvents<Told>()
  const [one, two, three] = [vi.fn<() => void>(), vi.fn<() => void>(), vi.fn<() => void>()]
  const off = events.listen('ping', one)
  events.listen('ping', two)
  events.listen('pong', three)
  off()
  await events.trigger('ping', 1, 'x')
  events.stopListening('ping', two)
  expect(events.has('ping')).toBe(false)
  expect(events.has('pong')).toBe(true)
  await events.trigger('ping', 2, 'y')
  events.clearListeners('pong')
  await events.trigger('pong')
  events.listen('pong', three)
  events.clearListeners()
  await events.trigger('pong')
  expect(one).not.toHaveBeenCalled()
  expect(two).toHaveBeenCalledExactlyOnceWith(1, 'x')
  expect(three).not.toHaveBeenCalled()
})

test('false ends the round, a throw passes on, what cannot be called is skipped', async () => {
  const events = createEvents<Told>()
  const after = vi.fn<() => void>()
  const off = events.listen('pong', () => false)
  events.listen('pong', 'strlen' as never)
  events.listen('pong', after)
  expect(await events.trigger('pong')).toBe(false)
  expect(after).not.toHaveBeenCalled()
  off()
  expect(await events.trigger('pong')).toBe(true)
  expect(after).toHaveBeenCalledOnce()
  events.listen('pong', () => {
    throw new Error('no')
  })
  await expect(events.trigger('pong')).rejects.toThrow('no')
})
