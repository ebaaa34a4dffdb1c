import type { ScalerSpec } from '../api.ts'
import { latencyOf } from '../decide/load.ts'
import { hpa, HPA_AVERAGE_VALUE, keda, KEDA_LIST_LENGTH, resqueue, type Model } from './models.ts'
import { reportOf, type ModelReport } from './report.ts'
import { run, type Run } from './run.ts'
import type { Trace } from './trace.ts'

/** What "tuned" may choose from, besides the default. */
export const DEPTH_TARGETS: readonly number[] = [1, 2, 5, 10, 20, 50]

export interface Question {
  readonly trace: Trace
  readonly spec: ScalerSpec
  readonly slots: number
  readonly podStartSeconds: number
  /** `status.serviceSeconds`, where the controller has known the jobs before. */
  readonly serviceSeconds: number | null
}

export interface Answer {
  /** Without the waits: of a million jobs they are 8 MB a model. */
  readonly run: Omit<Run, 'waits'>
  readonly report: ModelReport
}

/**
 * The queue that the jobs of a trace are in, and the seconds within which they should start: 30 where the spec has a
 * depth target.
 */
export function targetOf(spec: ScalerSpec): { readonly queue: string; readonly seconds: number } {
  const queue = spec.queues.find((name) => !/[*?[\]!]/.test(name)) ?? 'default'
  return { queue, seconds: latencyOf(spec, queue) }
}

/**
 * Runs all models against a trace: ours, KEDA and the HPA with their defaults, and both with the depth target that
 * suits the trace best.
 */
export function simulate(question: Question): readonly Answer[] {
  const { spec } = question
  const answer = (model: Model): Answer => answerOf(question, model)
  const tuned = (make: (target: number) => Model, preset: number): Answer =>
    best([...new Set([...DEPTH_TARGETS, preset])].map((target) => answer(make(target))))
  return [
    answer(resqueue(spec, { ...question, queue: targetOf(spec).queue })),
    answer(keda(spec, 'keda-default', KEDA_LIST_LENGTH)),
    tuned((target) => keda(spec, 'keda-tuned', target), KEDA_LIST_LENGTH),
    answer(hpa(spec, 'hpa-default', HPA_AVERAGE_VALUE)),
    tuned((target) => hpa(spec, 'hpa-tuned', target), HPA_AVERAGE_VALUE),
  ]
}

export function answerOf({ trace, spec, slots, podStartSeconds }: Question, model: Model): Answer {
  const done = run(model, { trace, slots, podStartSeconds, minReplicas: spec.minReplicas })
  const { waits: _, ...seen } = done
  return { run: seen, report: reportOf(done, targetOf(spec).seconds) }
}

/** The most punctual one; of equals the cheapest. */
function best(answers: readonly Answer[]): Answer {
  return answers.reduce((a, b) => {
    const later = b.report.startedWithinTarget - a.report.startedWithinTarget
    return later > 0 || (later === 0 && b.report.podMinutes < a.report.podMinutes) ? b : a
  })
}
