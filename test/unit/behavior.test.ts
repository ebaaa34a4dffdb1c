import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ScalingPolicy, ScalingRules } from '../../src/controller/api.ts'
import { addHigh, addLow, scaleDownLimit, scaleUpLimit } from '../../src/controller/decide/behavior.ts'
import type { Stamped } from '../../src/controller/decide.ts'

const rules = (
  policies: readonly ScalingPolicy[],
  selectPolicy: ScalingRules['selectPolicy'] = 'Max',
): ScalingRules => ({
  stabilizationWindowSeconds: 0,
  selectPolicy,
  policies,
  tolerance: null,
})
const pods = (value: number, periodSeconds = 60): ScalingPolicy => ({ type: 'Pods', value, periodSeconds })
const percent = (value: number, periodSeconds = 60): ScalingPolicy => ({ type: 'Percent', value, periodSeconds })
const NOW = 1_000_000

test('up: policies allow so many within their period, counted from its beginning', () => {
  const added: readonly Stamped[] = [
    [NOW - 30_000, 3],
    [NOW - 90_000, 5],
    [NOW - 10_000, -1],
  ]
  expect(scaleUpLimit(rules([pods(4)]), 10, [], NOW)).toBe(14)
  expect(scaleUpLimit(rules([pods(4)]), 10, added, NOW)).toBe(12)
  expect(scaleUpLimit(rules([percent(50)]), 10, added, NOW)).toBe(12)
  expect(scaleUpLimit(rules([percent(1)]), 10, [], NOW)).toBe(11)
  expect(scaleUpLimit(rules([pods(4), percent(100)]), 10, [], NOW)).toBe(20)
  expect(scaleUpLimit(rules([pods(4), percent(100)], 'Min'), 10, [], NOW)).toBe(14)
  expect(scaleUpLimit(rules([pods(1)]), 10, [[NOW - 1000, 5]], NOW)).toBe(10)
  // What went away within the period may come back.
  expect(scaleUpLimit(rules([pods(4)]), 10, [[NOW - 30_000, -10]], NOW)).toBe(24)
})

test('down: the same, and a percentage is rounded towards fewer', () => {
  const removed: readonly Stamped[] = [
    [NOW - 30_000, -3],
    [NOW - 90_000, -5],
  ]
  expect(scaleDownLimit(rules([pods(4)]), 10, [], NOW)).toBe(6)
  expect(scaleDownLimit(rules([pods(4)]), 10, removed, NOW)).toBe(9)
  expect(scaleDownLimit(rules([percent(25)]), 10, [], NOW)).toBe(7)
  expect(scaleDownLimit(rules([percent(10)]), 20, [[NOW - 30_000, 10]], NOW)).toBe(9)
  expect(scaleDownLimit(rules([pods(1), percent(50)]), 10, [], NOW)).toBe(5)
  expect(scaleDownLimit(rules([pods(1), percent(50)], 'Min'), 10, [], NOW)).toBe(9)
})

test('without policies there is no limit, and Disabled means stay', () => {
  expect(scaleUpLimit(rules([]), 3, [], NOW)).toBe(Number.POSITIVE_INFINITY)
  expect(scaleDownLimit(rules([]), 3, [], NOW)).toBe(0)
  expect(scaleUpLimit(rules([pods(9)], 'Disabled'), 3, [], NOW)).toBe(3)
  expect(scaleDownLimit(rules([pods(9)], 'Disabled'), 3, [], NOW)).toBe(3)
})

test('a window remembers its highest and its lowest value, and no more than it needs', () => {
  const step = fc.record({ after: fc.integer({ min: 1, max: 5000 }), value: fc.integer({ min: 0, max: 20 }) })
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 0, max: 20_000 }),
      (steps, window) => {
        let highs: readonly Stamped[] = []
        let lows: readonly Stamped[] = []
        const all: Stamped[] = []
        let at = 0
        for (const { after, value } of steps) {
          at += after
          all.push([at, value])
          highs = addHigh(highs, at, value, window)
          lows = addLow(lows, at, value, window)
          const within = all.filter(([then]) => at - then <= window).map(([, one]) => one)
          expect(Math.max(...highs.map(([, one]) => one))).toBe(Math.max(...within))
          expect(Math.min(...lows.map(([, one]) => one))).toBe(Math.min(...within))
          expect(highs.length).toBeLessThanOrEqual(21)
        }
      },
    ),
  )
})
