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
  /** The moment of each sample, in seconds, and what was the case then. */
  readonly samples: readonly Sample[]
  /** Until the model had come to rest. */
  readonly seconds: number
  /** When the last job ended, and when the replicas were at the least; `null`: never. */
  readonly endedAt: number | null
  readonly restedAt: number | null
}

export interface Sample {
  readonly at: number
  readonly waiting: number
  /** Age of the job at the head. */
  readonly wait: number
  readonly replicas: number
  readonly ready: number
}

/** Runs a model against a trace until all jobs are done and the replicas are down again. */
export function run(model: Model, { trace, slots, podStartSeconds, minReplicas }: RunOptions): Run {
  const fleet = createFleet({ trace, slots, podStartSeconds, replicas: minReplicas })
  const loops = model.scaling(fleet).map((loop) => ({ ...loop, next: loop.everySeconds / 2 }))
  const sampleEvery = Math.max(1, Math.ceil(trace.seconds / 3600))
  const samples: Sample[] = []
  const sample = (): void => {
    const head = fleet.headArrivedAt()
    const ready = fleet.pods().filter((pod) => fleet.isReady(pod)).length
    const wait = head === null ? 0 : fleet.now() - head
    samples.push({ at: fleet.now(), waiting: fleet.waiting(), wait, replicas: fleet.replicas(), ready })
  }
  loops.push({ everySeconds: sampleEvery, turn: sample, next: 0 })
  let endedAt: number | null = null
  let restedAt: number | null = null
  while (restedAt === null || fleet.now() < trace.seconds) {
    const loop = loops.reduce((first, one) => (one.next < first.next ? one : first))
    fleet.runUntil(loop.next)
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
  sample() // also of what the last turn did
  return { ...fleet.tally(), model, jobs: trace.arrivedAt.length, samples, seconds: fleet.now(), endedAt, restedAt }
}
