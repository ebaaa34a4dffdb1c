import type { Registry } from 'prom-client'
import { addFamily, type Sample } from './family.ts'
import { labelText, OTHER } from './labels.ts'
import type { QueueState, QueueSystem } from './queuesystem.ts'

/**
 * The metrics of the queue system. `read` answers what one scrape saw; undefined where Redis did not answer. `refused`:
 * whether Redis answers, but lets the worker do nothing, as a read-only replica does.
 */
export function addQueueMetrics(registry: Registry, read: () => QueueSystem | undefined, refused: () => boolean): void {
  const perQueue = (pick: (state: QueueState) => number) => (): Sample[] => {
    const byLabel = new Map<string, number>()
    for (const state of read()?.queues ?? []) {
      const label = labelText(state.queue) // long names that begin alike share one: the worst of them counts
      byLabel.set(label, Math.max(byLabel.get(label) ?? 0, pick(state)))
    }
    return [...byLabel].map(([queue, value]) => ({ labels: { queue }, value }))
  }
  const one = (pick: (system: QueueSystem) => number) => (): Sample[] => {
    const system = read()
    return system ? [{ value: pick(system) }] : []
  }

  addFamily(registry, {
    name: 'redis_up',
    help: 'Whether Redis answered this scrape and lets the worker work; where it did not answer, nothing is shown of the queue system.',
    type: 'gauge',
    collect: () => [{ value: read() && !refused() ? 1 : 0 }],
  })
  addFamily(registry, {
    name: 'queue_jobs',
    help: 'Jobs waiting in a queue.',
    type: 'gauge',
    collect() {
      const system = read()
      const byLabel = new Map<string, number>()
      const add = (label: string, jobs: number): void => void byLabel.set(label, (byLabel.get(label) ?? 0) + jobs)
      for (const state of system?.queues ?? []) add(labelText(state.queue), state.jobs)
      if (system?.otherJobs !== undefined) add(OTHER, system.otherJobs)
      return [...byLabel].map(([queue, value]) => ({ labels: { queue }, value }))
    },
  })
  addFamily(registry, {
    name: 'queue_latency_seconds',
    help: "Age of a queue's head, 0 for an empty queue; estimated where its payload does not say when it was enqueued.",
    type: 'gauge',
    collect: perQueue((state) => state.latencyMs / 1000),
  })
  addFamily(registry, {
    name: 'queue_paused',
    help: 'Whether a queue, or every queue, is paused.',
    type: 'gauge',
    collect: perQueue((state) => (state.paused ? 1 : 0)),
  })
  addFamily(registry, {
    name: 'failed_list_jobs',
    help: 'Entries of the failed list and of the failed lists of single queues.',
    type: 'gauge',
    collect: one((system) => system.failed),
  })
  addFamily(registry, {
    name: 'retry_jobs',
    help: 'Failed jobs that wait for their next attempt.',
    type: 'gauge',
    collect: one((system) => system.retrying),
  })
  addFamily(registry, {
    name: 'quarantined_jobs',
    help: 'Payloads that cannot be jobs and were set aside.',
    type: 'gauge',
    collect: one((system) => system.quarantined),
  })
  addFamily(registry, {
    name: 'delayed_timestamps',
    help: 'Points in time for which delayed jobs are kept.',
    type: 'gauge',
    collect: one((system) => system.delayedTimestamps),
  })
  addFamily(registry, {
    name: 'retry_overdue_seconds',
    help: 'For how long the first retry has been due without being moved to its queue; 0 where none is due.',
    type: 'gauge',
    collect: one((system) => system.retryOverdueMs / 1000),
  })
  addFamily(registry, {
    name: 'delayed_overdue_seconds',
    help: 'For how long the first delayed job has been due without being moved to its queue; 0 where none is due.',
    type: 'gauge',
    collect: one((system) => system.delayedOverdueMs / 1000),
  })
  addFamily(registry, {
    name: 'workers',
    help: "Registrations in the Resque family's registry, foreign workers included; one per slot of ours.",
    type: 'gauge',
    collect() {
      const system = read()
      return system ? Object.entries(system.workers).map(([state, value]) => ({ labels: { state }, value })) : []
    },
  })
  addFamily(registry, {
    name: 'processed_jobs_total',
    help: "Attempts that ended, by the Resque family's statistics.",
    type: 'counter',
    collect: one((system) => system.stats.processed),
  })
  addFamily(registry, {
    name: 'failed_jobs_total',
    help: "Attempts that failed, by the Resque family's statistics.",
    type: 'counter',
    collect: one((system) => system.stats.failed),
  })
}
