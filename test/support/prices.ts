import { hpa, HPA_AVERAGE_VALUE, keda } from '../../src/controller/simulate/models.ts'
import { answerOf, DEPTH_TARGETS, type Question } from '../../src/controller/simulate/simulate.ts'

/**
 * Pod minutes that are not too many for this share of jobs in time: as many as the cheapest KEDA or HPA needs, with
 * whatever depth target, that is as punctual; or else one and a half times those of the cheapest with 80 % in time.
 * Infinity: none has that.
 */
export function dearestAllowed(question: Question, share: number): number {
  const { spec } = question
  const depths = [...DEPTH_TARGETS, HPA_AVERAGE_VALUE]
  const others = depths
    .flatMap((depth) => [keda(spec, 'keda', depth), hpa(spec, 'hpa', depth)])
    .map((model) => answerOf(question, model).report)
  const cheapest = (least: number): number =>
    Math.min(...others.filter((one) => one.startedWithinTarget >= least).map(({ podMinutes }) => podMinutes))
  const asPunctual = cheapest(share)
  return Number.isFinite(asPunctual) ? asPunctual : 1.5 * cheapest(0.8)
}
