import { parseDate } from '../../queue/dates.ts'
import { queueNames } from '../../queue/queues.ts'
import { nonceOf } from '../../queue/registry.ts'
import { unservedQueues } from '../../queue/unserved.ts'
import { foreignQueuesOf, listWorkers, servesNothing } from '../../queue/workers.ts'
import { scan } from '../../redis/pages.ts'
import type { Store } from '../../redis/store.ts'
import { plural, some } from '../../wording.ts'
import { strayIds } from '../strays.ts'
import { age } from '../text.ts'
import { quote, type Check, type Finding, type Patient } from './finding.ts'

/** Ruby's workers take one that was silent for so long for dead. */
const PRUNE_MS = 300_000
/** Entries of a kind that are looked at. */
const MOST = 10_000

async function ours({ store }: Patient): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  const workers = await listWorkers(store, { limit: MOST })
  const dead = workers.filter((worker) => worker.kind === 'process' && !worker.alive)
  if (dead.length > 0) {
    const jobs = dead.reduce((sum, worker) => sum + worker.running.length, 0)
    findings.push({
      id: 'dead-workers',
      level: 'warning',
      finding: `${plural(dead.length, 'worker')} of ResQueue died and ${dead.length === 1 ? 'was' : 'were'} not cleared away yet (${some(dead.map(({ id, host }) => `${id} on ${host}`))}), holding ${plural(jobs, 'job')}`,
      advice: 'A living worker does this within 15 s; where none is left: resqueue worker prune.',
    })
  }
  const strays = await strayIds(store)
  if (strays.length > 0) {
    findings.push({
      id: 'stray-registrations',
      level: 'warning',
      finding: `${plural(strays.length, 'registration')} in "workers" without a process behind: ${some(strays)}`,
      advice: 'resqueue worker prune removes them.',
    })
  }
  return findings
}

async function family({ store }: Patient): Promise<readonly Finding[]> {
  const { keys } = store
  const findings: Finding[] = []
  const malformed: string[] = []
  const unreadable: string[] = []
  const registered = new Set<string>()
  for await (const page of scan(store, 'sscan', keys.workers)) {
    for (const id of page) registered.add(id)
    malformed.push(...page.filter(breaksDashboards))
    const busy = await store.pipeline(page.map((id) => ['get', keys.worker(id)]))
    unreadable.push(...page.filter((_, i) => busy[i] !== null && !isBusyRecord(busy[i])))
    if (registered.size >= MOST) break
  }
  if (malformed.length > 0) {
    findings.push({
      id: 'malformed-workers',
      level: 'error',
      finding: `${plural(malformed.length, 'member')} of "workers" because of which every page of Resque's dashboard fails and Ruby workers cannot start: ${some(malformed)}`,
      advice: `redis-cli SREM ${quote(keys.workers)} ${malformed.slice(0, 3).map(quote).join(' ')}`,
    })
  }
  if (unreadable.length > 0) {
    findings.push({
      id: 'malformed-working',
      level: 'error',
      finding: `${plural(unreadable.length, 'busy record')} without a JSON object and payload, because of which the dashboard's Working page fails: ${some(unreadable)}`,
      advice: `redis-cli DEL ${unreadable
        .slice(0, 3)
        .map((id) => quote(keys.worker(id)))
        .join(' ')}`,
    })
  }
  return [...findings, ...(await heartbeats(store, registered))]
}

async function heartbeats(store: Store, registered: ReadonlySet<string>): Promise<readonly Finding[]> {
  const { keys } = store
  const [bad, stale]: [string[], string[]] = [[], []]
  const now = Number(((await store.command('time', [])) as [string])[0]) * 1000
  let oldest = 0
  let seen = 0
  for await (const page of scan(store, 'hscan', keys.heartbeat)) {
    for (let i = 0; i + 1 < page.length; i += 2) {
      seen++
      const [id, text] = [page[i] as string, page[i + 1] as string]
      const at = /^\d+(\.\d+)?$/.test(text) ? undefined : parseDate(text)
      if (at === undefined) bad.push(id)
      else if (now - at.getTime() > PRUNE_MS && nonceOf(id) === undefined) {
        stale.push(`${id}${registered.has(id) ? '' : ' (not registered)'}`)
        oldest = Math.max(oldest, now - at.getTime())
      }
    }
    if (seen >= MOST) break
  }
  const findings: Finding[] = []
  if (bad.length > 0) {
    findings.push({
      id: 'unreadable-heartbeats',
      level: 'error',
      finding: `${plural(bad.length, 'heartbeat')} that cannot be read as a time, because of which Ruby workers cannot start: ${some(bad)}`,
      advice: `redis-cli HDEL ${quote(keys.heartbeat)} ${bad.slice(0, 3).map(quote).join(' ')}`,
    })
  }
  if (stale.length > 0) {
    findings.push({
      id: 'stale-heartbeats',
      level: 'warning',
      finding: `${plural(stale.length, 'worker')} of another program silent for up to ${age(oldest / 1000)}: ${some(stale)}`,
      advice:
        'They are probably dead. The next Ruby Resque worker that starts unregisters them and fails the jobs they held.',
    })
  }
  return findings
}

async function unserved({ store }: Patient): Promise<readonly Finding[]> {
  const names = await queueNames(store)
  if (names.length === 0) return []
  const workers = (await listWorkers(store, { limit: MOST })).filter((worker) =>
    worker.kind === 'process' ? worker.alive : !servesNothing(worker.queues),
  )
  const left = await unservedQueues(
    store,
    names,
    workers.map(({ queues }) => queues),
  )
  if (left.length === 0) return []
  return [
    {
      id: 'unserved-queues',
      level: 'warning',
      finding: `Jobs wait in ${plural(left.length, 'queue')} that no worker serves: ${some(left.map(({ name, size }) => `${name} (${size})`))}`,
      advice: 'Start a worker with these --queues, or remove them: resqueue queue rm.',
    },
  ]
}

/** Ruby's dashboard and workers take an id apart at its colons and need a queue that is not skipped. */
function breaksDashboards(id: string): boolean {
  return id.split(':').length < 3 || servesNothing(foreignQueuesOf(id))
}

function isBusyRecord(text: unknown): boolean {
  if (typeof text !== 'string') return false
  try {
    const value: unknown = JSON.parse(text)
    return (
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      ('payload' in value || Object.keys(value).length === 0)
    )
  } catch {
    return false
  }
}

export const workerChecks: readonly Check[] = [
  { name: 'workers of ResQueue', run: ours },
  { name: 'registrations', run: family },
  { name: 'queues without workers', run: unserved },
]
