import type { Trace } from '../../src/controller/simulate/trace.ts'
import { chance, type Chance } from './chance.ts'

/** Jobs per second, at a second; and the seconds that a job of then runs. */
export interface Load {
  readonly rate: (second: number) => number
  readonly service: (second: number, random: Chance) => number
  /** Jobs that come within half of a second instead; 0: as the rate says. */
  readonly atOnce?: (second: number) => number
}

/** A trace with random arrivals around the rate, one hour long. */
export function traceOf(name: string, seed: number, load: Load): Trace {
  return drawTrace(name, 3600, load, chance(seed))
}

/** The same for so many seconds. */
export function drawTrace(name: string, seconds: number, load: Load, random: Chance): Trace {
  const { rate, service, atOnce = () => 0 } = load
  const arrivedAt: number[] = []
  const serviceSeconds: number[] = []
  for (let second = 0; second < seconds; second++) {
    const batch = atOnce(second)
    const [count, within] = batch > 0 ? [batch, 0.5] : [poisson(random, rate(second)), 1]
    const own = Array.from({ length: count }, () => second + random.next() * within).sort((a, b) => a - b)
    for (const at of own) {
      arrivedAt.push(at)
      serviceSeconds.push(Math.max(0.005, service(second, random)))
    }
  }
  return {
    name,
    seconds,
    arrivedAt: new Float64Array(arrivedAt),
    serviceSeconds: new Float64Array(serviceSeconds),
  }
}

/** Rates of many shapes, and service times alike, exponential, of two kinds, with a heavy tail, or growing. */
export function randomLoad(seed: number): Load {
  const random = chance(seed)
  const mean = 0.1 * 30 ** random.next()
  const peak = (4 * (2 + 25 * random.next())) / mean
  const base = 0.3 * random.next()
  const period = 300 + 1500 * random.next()
  const duty = 0.2 + 0.5 * random.next()
  const service = random.pick<Load['service']>([
    () => mean,
    (_, one) => -mean * Math.log(1 - one.next()),
    (_, one) => (one.next() < 0.1 ? 8 * mean : 0.25 * mean),
    (_, one) => Math.min(100 * mean, (0.3 * mean) / (1 - one.next()) ** 0.7),
    (second) => mean * (0.5 + second / 3600),
  ])
  const rate = random.pick<Load['rate']>([
    () => peak,
    (second) => peak * (base + (1 - base) * wave(second, period)),
    (second) => ((second % period) / period < duty ? peak : peak * base),
    (second) => peak * ((second % period) / period),
    (second) => (second > period && second < 2 * period ? peak : peak * base),
    (second) => peak * Math.min(1, second / 3000),
  ])
  return { rate, service }
}

function poisson(random: Chance, mean: number): number {
  if (mean > 100) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal(random)))
  let count = 0
  for (let left = random.next(); left > Math.exp(-mean); left *= random.next()) count++
  return count
}

/** Arrivals as even as can be, but for so much noise of the rate in each second. */
export function steadyTrace(seed: number, rate: number, serviceSeconds: number, noise: number): Trace {
  const random = chance(seed)
  const arrivedAt: number[] = []
  let owed = 0
  for (let second = 0; second < 3600; second++) {
    owed += rate * (1 + noise * (2 * random.next() - 1))
    const count = Math.floor(owed)
    owed -= count
    for (let i = 0; i < count; i++) arrivedAt.push(second + i / count)
  }
  const service = new Float64Array(arrivedAt.length).fill(serviceSeconds)
  return { name: `${rate}/s`, seconds: 3600, arrivedAt: new Float64Array(arrivedAt), serviceSeconds: service }
}

/** From 0 to 1 and back in each period. */
export function wave(second: number, period: number): number {
  return 0.5 - 0.5 * Math.cos((2 * Math.PI * second) / period)
}

/** Of mean 0 and deviation 1. */
export function normal(random: Chance): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())
}

export function logNormal(mean: number, sigma: number, random: Chance): number {
  return mean * Math.exp(sigma * normal(random) - (sigma * sigma) / 2)
}

/** Loads of many kinds that 50 pods of 4 slots can bear. */
export const LOADS: Readonly<Record<string, Load>> = {
  'a wave': { rate: (s) => 0.5 + 6 * wave(s, 3600), service: () => 1.8 },
  'a ramp of exponential jobs': { rate: (s) => s / 450, service: (_, one) => -6 * Math.log(1 - one.next()) },
  'a service time that grows fourfold': { rate: () => 5, service: (s) => 1 + s / 1200 },
  'jobs of 90 s': { rate: (s) => 0.1 + 0.5 * wave(s, 1800), service: () => 90 },
  'a few jobs every 15 minutes': { rate: (s) => (s % 900 === 200 ? 6 : 0), service: () => 12 },
  'bursts with a log-normal tail': {
    rate: (s) => (s % 1100 >= 400 && s % 1100 < 440 ? 25 : 0.4),
    service: (_, one) => logNormal(1.6, 1.1, one),
  },
  'on and off': { rate: (s) => (s % 700 < 280 ? 14 : 0), service: () => 1.4 },
  'short jobs and a few long ones': { rate: () => 5, service: (_, one) => (one.next() < 0.02 ? 45 : 0.4) },
  'a heavy tail': {
    rate: (s) => 4 + 5 * wave(s, 2400),
    service: (_, one) => Math.min(60, 0.5 / (1 - one.next()) ** 0.7),
  },
  'batches that nobody has seen before': { rate: (s) => (s % 1500 === 77 ? 110 : 0), service: () => 5.5 },
  'saw teeth': { rate: (s) => 1 + (19 * (s % 450)) / 450, service: () => 0.7 },
}
