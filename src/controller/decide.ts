import type { ScalerSpec } from './api.ts'
import { addHigh, addLow, longestPeriod } from './decide/behavior.ts'
import { blockedBy, choose } from './decide/choose.ts'
import { demandOf, LEAST_HEADROOM, POD_START_SECONDS } from './decide/demand.ts'
import { countForeign, foreignRunning, NO_FLOW, NO_FOREIGN, type ForeignWork } from './decide/foreign.ts'
import { latencyOf } from './decide/load.ts'
import { emptyRecord, own } from './decide/records.ts'
import { endsSeen, firstSight, followQueue, SURE_ENDS } from './decide/queue.ts'
import type { Decision, Memory, Observation, QueueMemory } from './decide/types.ts'

export { lookaheadSeconds } from './decide/demand.ts'
export type * from './decide/types.ts'

/**
 * Longer without a look, and a look or more was missed: so many polling intervals (two missed ones are seen whatever
 * the jitter), and so many seconds.
 */
const GAP_INTERVALS = 2.5
const GAP_SECONDS = 10

/**
 * How many replicas there should be. Pure: the same spec, observation, memory and time give the same answer.
 *
 * `now` is in milliseconds, of any clock that does not jump. Never throws. With `observation.hold` set, the answer is
 * the present number of replicas. Otherwise it lies between the limits of the spec, and more load never gives fewer
 * replicas.
 */
export function decide(spec: ScalerSpec, observation: Observation, memory: Memory | undefined, now: number): Decision {
  const { hold } = observation
  const slots = spec.slotsPerReplica ?? observation.registeredSlots ?? observation.lastSlotsPerReplica ?? 1
  const seen = hold === null || memory === undefined ? follow(spec, observation, memory, now) : memory
  const demand = demandOf(spec, observation, seen.queues, slots, now)
  const { terms } = demand
  const raw = Math.max(terms.rate, terms.backlog, terms.busy, terms.lookahead)
  const active = demand.waiting > 0 || demand.running > 0 || demand.dueSoon > 0
  const podStartSeconds = observation.podStartSeconds ?? POD_START_SECONDS
  const shown = { ...demand, raw, active, slotsPerReplica: slots, podStartSeconds, hold }
  if (hold !== null) {
    return { ...shown, replicas: observation.replicas, reason: hold.reason, limitedBy: null, nextMemory: seen }
  }
  // A rate that eats into its headroom is no reason to scale up yet.
  const sure = Math.max(terms.backlog, terms.busy, terms.lookahead, terms.rate / (1 + LEAST_HEADROOM))
  const nextMemory = remember(spec, observation, seen, { raw, sure, active }, now)
  const { goal, ...choice } = choose({
    spec,
    observation,
    memory: nextMemory,
    demand,
    raw,
    sure,
    active,
    slots,
    podStartSeconds,
    now,
  })
  const descentTo = goal < observation.replicas ? goal : null
  return { ...shown, ...choice, nextMemory: { ...nextMemory, descentTo } }
}

/**
 * The memory with this observation of the queues in it.
 *
 * While Redis is away nothing can arrive, start or end, and nobody sees it: that is no quiet time, and all of the load
 * comes back with Redis. So a gap between two looks counts as one look, with what the counters say of the gap as
 * averages. What was known before stays known; nothing goes down until a window was really looked at, and idleness is
 * counted from now.
 */
function follow(spec: ScalerSpec, observation: Observation, memory: Memory | undefined, now: number): Memory {
  const seconds = memory === undefined ? 0 : Math.max((now - memory.at) / 1000, 0)
  const { pollingIntervalSeconds } = spec
  const isGap = seconds > Math.max(GAP_INTERVALS * pollingIntervalSeconds, GAP_SECONDS)
  const elapsed = { seconds, weight: isGap ? pollingIntervalSeconds : seconds, now }
  const foreign = countForeign(memory?.foreign ?? NO_FOREIGN, observation.foreign, seconds * 1000)
  const running = foreignRunning(observation.foreign)
  const queues = emptyRecord<QueueMemory>()
  for (const queue of observation.queues) {
    const old = own(memory?.queues, queue.name)
    const others: ForeignWork = {
      flow: own(foreign.flow, queue.name) ?? NO_FLOW,
      running: running.get(queue.name) ?? 0,
    }
    if (old === undefined) queues[queue.name] = firstSight(queue, others, observation.lastServiceSeconds, now)
    else queues[queue.name] = seconds > 0 ? followQueue(old, queue, others, latencyOf(spec, queue.name), elapsed) : old
  }
  const text = JSON.stringify(spec)
  const isNew = memory === undefined || memory.spec !== text
  const isIdle = running.size === 0 && observation.queues.every((queue) => queue.waiting === 0 && queue.running === 0)
  // What was asked for while nobody knew how long jobs run is not held on to.
  const wasGuess = memory !== undefined && endsSeen(memory.queues) < SURE_ENDS
  const isOver = wasGuess && (isIdle || endsSeen(queues) >= SURE_ENDS)
  const window = spec.behavior.scaleDown.stabilizationWindowSeconds * 1000
  return {
    at: now,
    spec: text,
    replicas: memory?.replicas ?? observation.replicas,
    changedAt: memory?.changedAt ?? now,
    roseAt: memory?.roseAt ?? null,
    descentTo: isNew ? null : memory.descentTo,
    queues,
    foreign,
    noDownBefore: isNew || isGap ? now + window : memory.noDownBefore,
    idleSince: isGap ? null : (memory?.idleSince ?? null),
    highs: isNew || isOver ? [] : memory.highs,
    lows: isNew ? [] : memory.lows,
    changes: memory?.changes ?? [],
    blocked: memory?.blocked ?? null,
  }
}

/** The memory with what follows from this observation. */
function remember(
  spec: ScalerSpec,
  observation: Observation,
  seen: Memory,
  { raw, sure, active }: { readonly raw: number; readonly sure: number; readonly active: boolean },
  now: number,
): Memory {
  const { scaleUp, scaleDown } = spec.behavior
  const change = observation.replicas - seen.replicas
  const oldest = now - longestPeriod(scaleUp, scaleDown) * 1000
  const changes = seen.changes.filter(([at]) => at > oldest)
  return {
    ...seen,
    replicas: observation.replicas,
    changedAt: change === 0 ? seen.changedAt : now,
    roseAt: seen.replicas <= spec.minReplicas && observation.replicas > spec.minReplicas ? now : seen.roseAt,
    // Where it led, or a scale-up by whomever, ends it.
    descentTo: change <= 0 && seen.descentTo !== null && observation.replicas > seen.descentTo ? seen.descentTo : null,
    idleSince: active ? null : (seen.idleSince ?? now),
    highs: addHigh(seen.highs, now, raw, scaleDown.stabilizationWindowSeconds * 1000),
    lows: addLow(seen.lows, now, sure, scaleUp.stabilizationWindowSeconds * 1000),
    changes: change === 0 ? changes : [...changes, [now, change]],
    blocked: blockedBy(observation, seen.blocked, now),
  }
}
