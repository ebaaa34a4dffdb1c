import type { Trace } from '../../src/controller/simulate/trace.ts'
import { chance, type Chance } from './chance.ts'

/** Jobs per second, at a second; and the seconds that a job of then runs. */
export interface Load {
  readonly rate: (second: number) => number
  readonly service: (second: number, random: Chance) => number
}

/** A trace with random arrivals around the rate, one hour long. */
export function traceOf(name: string, seed: number, { rate, service }: Load): Trace {
  const random = chance(seed)
  const arrivedAt: number[] = []
  const serviceSeconds: number[] = []
  for (let second = 0; second < 3600; second++) {
    const count = poisson(random, rate(second))
    const own = Array.from({ length: count }, () => second + random.next()).sort((a, b) => a - b)
    for (const at of own) {
      arrivedAt.push(at)
      serviceSeconds.push(Math.max(0.005, service(second, random)))
    }
  }
  return {
    name,
    seconds: 3600,
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
    (second) => peak * (base + (1 - base) * (0.5 - 0.5 * Math.cos((2 * Math.PI * second) / period))),
    (second) => ((second % period) / period < duty ? peak : peak * base),
    (second) => peak * ((second % period) / period),
    (second) => (second > period && second < 2 * period ? peak : peak * base),
    (second) => peak * Math.min(1, second / 3000),
  ])
  return { rate, service }
}

function poisson(random: Chance, mean: number): number {
  if (mean > 100) {
    const normal = Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())
    return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal))
  }
  let count = 0
  for (let left = random.next(); left > Math.exp(-mean); left *= random.next()) count++
  return count
}
