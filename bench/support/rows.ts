import { short } from './numbers.ts'

/** One demand on a figure. */
export interface Check {
  /** `× BullMQ`, `ms`, … */
  readonly unit: string
  readonly got: number
  readonly better: 'higher' | 'lower'
  readonly must?: number
  readonly aim?: number
}

/** One figure of the report. */
export interface Row {
  readonly line: string
  readonly figure: string
  readonly ours: string
  readonly peers: Readonly<Record<string, string>>
  readonly checks: readonly Check[]
  readonly note?: string
}

export type Verdict = 'MISSED' | 'met' | 'met, aim too' | '–'

export function atLeast(unit: string, got: number, limits: { must?: number; aim?: number }): Check {
  return { unit, got, better: 'higher', ...limits }
}

export function atMost(unit: string, got: number, limits: { must?: number; aim?: number }): Check {
  return { unit, got, better: 'lower', ...limits }
}

/** A figure that could not be had (NaN) has missed what is demanded of it. */
export function verdict({ checks }: Row): Verdict {
  const holds = ({ got, better }: Check, limit: number): boolean => (better === 'higher' ? got >= limit : got <= limit)
  const musts = checks.filter((check) => check.must !== undefined)
  const aims = checks.filter((check) => check.aim !== undefined)
  if (musts.some((check) => !holds(check, check.must as number))) return 'MISSED'
  if (aims.length > 0 && aims.every((check) => holds(check, check.aim as number))) return 'met, aim too'
  return musts.length > 0 ? 'met' : '–'
}

/** What was got, as it stands beside its demands. */
export function gotOf(check: Check): string {
  return join(short(check.got), check.unit)
}

export function demandOf(check: Check, limit: number | undefined): string {
  if (limit === undefined) return ''
  return `${check.better === 'higher' ? '≥' : '≤'} ${join(String(limit), check.unit)}`
}

function join(number: string, unit: string): string {
  return unit.startsWith('×') ? `${number}${unit}` : `${number} ${unit}`.trim()
}
