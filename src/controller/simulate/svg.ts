export type Point = readonly [x: number, y: number]

/** From values to a share of an axis, 0 to 1. */
export interface Scale {
  readonly most: number
  readonly to: (value: number) => number
  readonly ticks: readonly number[]
}

export function linear(most: number): Scale {
  return { most, to: (value) => value / most, ticks: niceTicks(most, 5) }
}

/** Like a logarithm, but with a place for 0: what is ten times as much is one step higher. */
export function logarithmic(most: number): Scale {
  const top = Math.log10(1 + Math.max(most, 9))
  const ticks = [0, 1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000].filter((tick) => tick <= most)
  return { most, to: (value) => Math.log10(1 + value) / top, ticks }
}

/** Round numbers from 0 to `most`, about `count` of them; with `steps`, by one of these. */
export function niceTicks(most: number, count: number, steps?: readonly number[]): readonly number[] {
  const rough = most / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = steps
    ? (steps.find((one) => one >= rough) ?? rough)
    : ([1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough) as number)
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, i) => i * step)
}

/** `M0,0L1,1…` */
export function path(points: readonly Point[]): string {
  return points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${round(x)},${round(y)}`).join('')
}

/** 1500 as 1.5k. */
export function axisLabel(value: number): string {
  if (value >= 1e6) return `${round(value / 1e6)}M`
  if (value >= 1000) return `${round(value / 1000)}k`
  return String(Math.round(value * 1000) / 1000)
}

/** Seconds as a clock: 0:30, 15:00, 1:00:00. */
export function clock(seconds: number): string {
  const two = (n: number): string => String(n).padStart(2, '0')
  const hours = Math.floor(seconds / 3600)
  const rest = `${Math.floor((seconds % 3600) / 60)}`
  const end = two(Math.round(seconds % 60))
  return hours > 0 ? `${hours}:${rest.padStart(2, '0')}:${end}` : `${rest}:${end}`
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"'\p{Cc}]/gu, (char) => ESCAPES[char] ?? '')
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
