import { setTimeout as delay } from 'node:timers/promises'
import type { Fault, Request } from './proxy.ts'

/** Random numbers that a seed repeats. */
export interface Chance {
  readonly seed: number
  /** 0 ≤ x < 1 */
  next(): number
  /** A whole number from `low` to `high`. */
  between(low: number, high: number): number
  pick<T>(things: readonly T[]): T
}

/** Draws a seed, or takes FAULTS_SEED. */
export function chance(
  seed: number = Number(process.env['FAULTS_SEED'] ?? Math.floor(Math.random() * 2 ** 31)),
): Chance {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const between = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1))
  return { seed, next, between, pick: (things) => things[between(0, things.length - 1)] as (typeof things)[number] }
}

/** Bad weather for a proxy: each request meets a fault of random kind with the given probability. */
export function weather(random: Chance, probability: number): (request: Request) => Fault | undefined {
  return ({ name }) => {
    if (random.next() >= probability) return undefined
    // What a connection says at its beginning is nobody's claim: only cut there, or connecting would take for ever.
    if (!/^(EVAL|EVALSHA|BLPOP)$/.test(name)) return random.next() < 0.2 ? { kind: 'cut-before' } : undefined
    switch (random.between(0, 5)) {
      case 0:
        return { kind: 'cut-before' }
      case 1:
        return { kind: 'cut-after' }
      case 2:
        return { kind: 'delay-reply', ms: random.between(20, 400) }
      case 3:
        return { kind: 'late', until: delay(random.between(50, 2500)) }
      case 4:
        return { kind: 'twice' }
      default:
        return { kind: 'drop-reply' }
    }
  }
}
