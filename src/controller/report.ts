import { conditionsOf, REASONS, unknownSayings, type Saying } from './conditions.ts'
import { problemText, type Reading } from './readscaler.ts'
import { applyStatus, type KubeObject } from './resources.ts'
import { sayings, type Findings } from './say.ts'
import type { State } from './state.ts'
import { conditionsChanged, statusOf, worthWriting } from './status.ts'
import type { World } from './world.ts'

/** What a turn found out, as far as it came. */
export type Report = Omit<Findings, 'dryRun' | 'outdated'>

/** Writes the status where it says something new: at once where a condition changed, else every ten seconds. */
export async function report(world: World, state: State, found: Report): Promise<void> {
  const { api, clock, term, metrics } = world
  const { scaler, decision } = found
  const before = state.written?.conditions ?? scaler.status.conditions ?? []
  const said = sayings({ ...found, dryRun: world.dryRun, outdated: world.outdated() })
  const conditions = conditionsOf(said, before, scaler.generation, clock.now())
  metrics.conditions(state.key, conditions)
  const facts = {
    generation: scaler.generation,
    replicas: state.scale?.value.replicas,
    decision,
    draining: state.drain.names,
    lastScaleTime: state.lastScaleTime,
    conditions,
  }
  const status = statusOf(facts, scaler.status)
  const now = clock.monotonic()
  const { written } = state
  if (written && !conditionsChanged(conditions, before) && !worthWriting(status, written.status, now - written.at))
    return
  if (!term.valid()) return
  await applyStatus(api, scaler, status)
  state.written = { status, conditions, at: now }
}

/** The status of an object that cannot be read as a scaler. */
export async function reportInvalid(
  world: World,
  state: State,
  { metadata }: KubeObject,
  { problems, status }: Extract<Reading, { ok: false }>,
): Promise<void> {
  const generation = metadata.generation ?? 0
  const before = state.written?.conditions ?? status.conditions ?? []
  const message = problems.map(problemText).join('; ')
  const trouble: Saying = { status: 'False', reason: REASONS.invalidSpec, message }
  const said = { ...unknownSayings('the spec cannot be used'), Ready: trouble }
  const conditions = conditionsOf(said, before, generation, world.clock.now())
  world.metrics.conditions(state.key, conditions)
  if (state.written !== undefined && !conditionsChanged(conditions, before)) return
  if (!world.term.valid()) return
  await applyStatus(world.api, metadata, { observedGeneration: generation, conditions })
  state.written = { status: {}, conditions, at: world.clock.monotonic() }
}
