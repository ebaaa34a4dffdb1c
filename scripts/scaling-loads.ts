import type { Trace } from '../src/controller/simulate/trace.ts'
import { chance, type Chance } from '../test/support/chance.ts'
import { drawTrace, logNormal, normal, steadyTrace, wave, type Load } from '../test/support/traces.ts'

/** What a scaler is tried on: a trace, and the slots of a pod. */
export interface Case {
  readonly name: string
  readonly slots: number
  readonly trace: Trace
}

export const MAX_REPLICAS = 50

/** How long a job runs: of this mean, at this part of the trace. */
const SERVICES: Readonly<Record<string, (mean: number, part: number, random: Chance) => number>> = {
  alike: (mean) => mean,
  exponential: (mean, _, random) => -mean * Math.log(1 - random.next()),
  'log-normal': (mean, _, random) => logNormal(mean, Math.SQRT2, random),
  'heavy-tailed': (mean, _, random) => Math.min(60 * mean, (0.33 * mean) / (1 - random.next()) ** 0.7),
  'of two kinds': (mean, _, random) => (random.next() < 0.1 ? 7 * mean : mean / 3),
  growing: (mean, part) => mean * (0.4 + 1.2 * part),
}

interface Size {
  readonly seconds: number
  readonly peak: number
  /** The most jobs that may come at once: with some luck all pods start them in time. */
  readonly mostAtOnce: number
}

const never = (): number => 0

const SHAPES: Readonly<Record<string, (size: Size, random: Chance) => Omit<Load, 'service'>>> = {
  wave: ({ peak }, random) => {
    const [base, period] = [baseOf(random), periodOf(random)]
    return { rate: (second) => peak * (base + (1 - base) * wave(second, period)) }
  },
  ramp: ({ peak, seconds }) => ({ rate: (second) => peak * Math.min(1, second / (0.8 * seconds)) }),
  step: ({ peak }, random) => {
    const [base, period] = [baseOf(random), periodOf(random)]
    return { rate: (second) => (second > period && second < 2.2 * period ? peak : peak * base) }
  },
  'saw teeth': ({ peak }, random) => {
    const period = periodOf(random)
    return { rate: (second) => (peak * (second % period)) / period }
  },
  'on and off': ({ peak }, random) => {
    const [base, period, on] = [0.3 * baseOf(random), periodOf(random), 0.15 + 0.5 * random.next()]
    return { rate: (second) => (second % period < on * period ? peak : peak * base) }
  },
  bursts: ({ peak }, random) => {
    const [base, period, from] = [0.1 * baseOf(random), periodOf(random), 120 + 300 * random.next()]
    const to = from + 5 + 60 * random.next()
    const isBurst = (second: number): boolean => second % period >= from && second % period < to
    return { rate: (second) => (isBurst(second) ? peak : peak * base) }
  },
  batches: ({ mostAtOnce }, random) => {
    const [period, at] = [Math.round(periodOf(random)), random.between(3, 200)]
    const jobs = Math.max(1, Math.round(mostAtOnce * 100 ** (random.next() - 1)))
    return { rate: never, atOnce: (second) => (second % period === at ? jobs : 0) }
  },
  'random walk': ({ peak, seconds }, random) => {
    const walk: number[] = []
    let at = Math.log(0.3)
    for (let i = 0; i <= seconds / 30; i++) {
      at = Math.min(0, 0.99 * at + 0.12 * normal(random))
      walk.push(Math.exp(at))
    }
    return { rate: (second) => peak * (walk[Math.floor(second / 30)] as number) }
  },
  steady: ({ peak }) => ({ rate: () => 0.8 * peak }),
  'a few jobs': (_, random) => {
    const [jobs, at] = [random.between(1, 12), random.between(3, 200)]
    return { rate: never, atOnce: (second) => (second % 900 === at ? jobs : 0) }
  },
}

/** One of endlessly many loads that `MAX_REPLICAS` can bear, the same for the same number. */
export function loadOf(number: number): Case {
  const random = chance(1_000_003 * (number + 1))
  const [shapes, services] = [Object.keys(SHAPES), Object.keys(SERVICES)]
  const shape = shapes[number % shapes.length] as string
  const service = services[Math.floor(number / shapes.length) % services.length] as string
  const slots = random.pick([4, 4, 4, 1, 2, 8, 16])
  const seconds = 3600 * random.pick([1, 1, 1, 1, 2, 4])
  const mean = random.next() < 0.1 ? 90 : 0.1 * 150 ** random.next()
  const pods = 0.4 * 70 ** random.next()
  const mostAtOnce = 0.8 * MAX_REPLICAS * slots * Math.max(1, 6 / mean)
  const shapeOf = SHAPES[shape] as (typeof SHAPES)[string]
  const serviceOf = SERVICES[service] as (typeof SERVICES)[string]
  const load: Load = {
    ...shapeOf({ seconds, peak: (pods * slots) / mean, mostAtOnce }, random),
    service: (second, own) => serviceOf(mean, second / seconds, own),
  }
  const name = `${number}: ${shape}, jobs ${service} of ${mean.toFixed(2)} s, ${slots} slots, at most ${pods.toFixed(1)} pods`
  return { name, slots, trace: drawTrace(name, seconds, load, random) }
}

/** An hour at one rate with 5 % of noise. */
export function steadyHour(number: number): Case {
  const random = chance(77_777 * (number + 1))
  const rate = 0.5 * 80 ** random.next()
  const seconds = random.pick([0.2, 0.5, 0.8, 1, 1.5, 2, 3, 5, 8, 10, 15, 20, 30, 60].filter((s) => s * rate <= 160))
  const trace = steadyTrace(number, rate, seconds, 0.05)
  return { name: `${number}: ${rate.toFixed(1)} jobs a second of ${seconds} s`, slots: 4, trace }
}

function baseOf(random: Chance): number {
  return random.next() < 0.4 ? 0 : 0.4 * random.next()
}

function periodOf(random: Chance): number {
  return 300 + 2400 * random.next()
}
