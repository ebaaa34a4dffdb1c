import { createFleet, type Tally } from './fleet.ts'
import type { Model } from './models.ts'
import type { Trace } from './trace.ts'

/** How long after the last job a model may take to come to rest, and how long a trace's work may take to end. */
const REST_SECONDS = 1800
const OVERTIME_SECONDS = 6 * 3600

export interface RunOptions {
  readonly trace: Trace
  readonly slots: number
  readonly podStartSeconds: number
  readonly minReplicas: number
}

/** What one model did with a trace. */
export interface Run extends Tally {
  readonly model: Model
  readonly jobs: number
  readonly samples: readonly Sample[]
  /** Until the model had come to rest. */
  readonly seconds: number
  /** When the last job ended, and when the replicas were at the least; `null`: never. */
  readonly endedAt: number | null
  readonly restedAt: number | null
}

/**
 * The most that there was since the sample before, as looks at every second found it; the last one: what was in the
 * end.
 */
export interface Sample {
  readonly at: number
  readonly waiting: number
  /** Age of the job at the head. */
  readonly wait: number
  readonly replicas: number
}

const NOTHING = { waiting: 0, wait: 0, replicas: 0 }

/** Runs a model against a trace until all jobs are done and the replicas are down again. */
export function run(model: Model, { trace, slots, podStartSeconds, minReplicas }: RunOptions): Run {
  const fleet = createFleet({ trace, slots, podStartSeconds, replicas: minReplicas })
  const samples: Sample[] = []
  let most = NOTHING
  const look = (): void => {
    const head = fleet.headArrivedAt()
    most = {
      waiting: Math.max(most.waiting, fleet.waiting()),
      wait: Math.max(most.wait, head === null ? 0 : fleet.now() - head),
      replicas: Math.max(most.replicas, fleet.replicas()),
    }
  }
  const sample = (): void => {
    look()
    samples.push({ at: fleet.now(), ...most })
    most = NOTHING
  }
  /** Lets everything happen until this moment. */
  const pass = (until: number): void => {
    for (let second = Math.floor(fleet.now()) + 1; second < until; second++) {
      fleet.runUntil(second)
      look()
    }
    fleet.runUntil(until)
  }
  const loops = model.scaling(fleet).map(({ everySeconds, turn }) => ({
    everySeconds,
    turn: () => {
      turn()
      look()
    },
    next: everySeconds / 2,
  }))
  loops.push({ everySeconds: Math.max(1, Math.ceil(trace.seconds / 3600)), turn: sample, next: 0 })
  let endedAt: number | null = null
  let restedAt: number | null = null
  while (restedAt === null || fleet.now() < trace.seconds) {
    const loop = loops.reduce((first, one) => (one.next < first.next ? one : first))
    pass(loop.next)
    loop.turn()
    loop.next += loop.everySeconds
    if (!fleet.isDone()) endedAt = restedAt = null
    else {
      endedAt ??= fleet.now()
      if (fleet.now() >= trace.seconds && fleet.replicas() <= minReplicas) restedAt ??= fleet.now()
      if (fleet.now() > Math.max(trace.seconds, endedAt) + REST_SECONDS) break
    }
    if (fleet.now() > trace.seconds + OVERTIME_SECONDS) break
  }
  most = NOTHING
  sample()
  return { ...fleet.tally(), model, jobs: trace.arrivedAt.length, samples, seconds: fleet.now(), endedAt, restedAt }
}
