import { pagesOf } from '../redis/pages.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Store } from '../redis/store.ts'
import { briefOf } from './brief.ts'
import { parseDate } from './dates.ts'
import { foreignIds, readRegistrations } from './demand.ts'
import { podKey } from './draining.ts'
import { ringQueues } from './pause.ts'
import { nonceOf, processes, queuesOf, workerId, type Registration } from './registry.ts'

const viewScript = loadScript('processes_view')
const pauseScript = loadScript('worker_pause')

/** A job that a worker runs. */
export interface Running {
  readonly slot: number
  readonly queue: string
  readonly since: Date | undefined
  readonly class: string | undefined
  /** Empty where the payload has none. */
  readonly id: string
}

/** A worker process of ours. */
export interface WorkerProcess {
  readonly kind: 'process'
  /** What `show`, `pause` and `resume` take. */
  readonly id: string
  readonly registration: Registration
  readonly host: string
  readonly pid: number
  readonly queues: readonly string[]
  readonly slots: number
  readonly started: Date
  /** Its lease stands: it renewed within the last seconds. */
  readonly alive: boolean
  readonly paused: boolean
  readonly draining: boolean
  readonly running: readonly Running[]
}

/** A worker of another family member: Ruby, PHP or node-resque. */
export interface ForeignWorker {
  readonly kind: 'foreign'
  readonly id: string
  readonly host: string
  readonly pid: number | undefined
  readonly queues: readonly string[]
  readonly started: Date | undefined
  /** Only Ruby's workers beat. */
  readonly heartbeat: Date | undefined
  readonly running: readonly Running[]
}

/** A worker, whoever's. */
export type WorkerInfo = WorkerProcess | ForeignWorker

/**
 * All workers: processes of ours, then workers of others; at most `limit` (default 1000) of each. What is registered in
 * our form without a process behind it is left out: `resqueue doctor` names it.
 */
export async function listWorkers(
  store: Store,
  { limit = 1000 }: { readonly limit?: number } = {},
): Promise<readonly WorkerInfo[]> {
  const registrations: Registration[] = []
  for await (const registration of processes(store)) {
    if (registrations.length >= limit) break
    registrations.push(registration)
  }
  const ours = await viewProcesses(store, registrations)
  const foreign = await foreignIds(store, (id) => nonceOf(id) !== undefined, limit)
  return [...ours, ...(await viewForeign(store, foreign))]
}

/**
 * One worker, by its id or nonce, by the name or a slot's id of a process of ours; undefined where there is none. Of
 * several in a pod, a living one.
 */
export async function showWorker(store: Store, id: string): Promise<WorkerInfo | undefined> {
  const found = await workersNamed(store, id)
  return found.find((worker) => worker.kind === 'foreign' || worker.alive) ?? found[0]
}

/** All workers that an id names, as `showWorker` takes it: the name of a pod stands for each process in it. */
export async function workersNamed(store: Store, id: string): Promise<readonly WorkerInfo[]> {
  const named: Registration[] = []
  for await (const registration of processes(store)) {
    const { nonce, name, pod, slots } = registration
    const ids = Array.from({ length: slots }, (_, slot) => workerId(registration, slot))
    if ([nonce, name, ...(pod === '' ? [] : [pod]), ...ids].includes(id)) named.push(registration)
  }
  if (named.length > 0) return viewProcesses(store, named)
  return (await store.command('sismember', [store.keys.workers, id])) === 1 ? viewForeign(store, [id]) : []
}

/** Pauses a process of ours, named by its nonce: it takes no more jobs until resumed. `absent`: no such process. */
export async function pauseWorker(store: Store, nonce: string): Promise<'paused' | 'absent'> {
  return (await store.run(pauseScript, [nonce, 'pause'])) === -1 ? 'absent' : 'paused'
}

/**
 * Resumes a process and wakes it, or another, for what waits in the queues that it names. Those of a pattern it looks
 * at with its next renewal. `absent`: no such process.
 */
export async function resumeWorker(store: Store, nonce: string): Promise<'resumed' | 'absent'> {
  if ((await store.run(pauseScript, [nonce, 'resume'])) === -1) return 'absent'
  const [registration] = await readRegistrations(store, [nonce])
  const named = registration ? queuesOf(registration).filter((queue) => !/^!|[*?[]/.test(queue)) : []
  await ringQueues(store, named)
  return 'resumed'
}

async function viewProcesses(store: Store, registrations: readonly Registration[]): Promise<WorkerProcess[]> {
  const found: WorkerProcess[] = []
  for (const page of pagesOf(registrations, 100)) {
    const views = (await store.run(
      viewScript,
      page.map((r) => r.nonce),
    )) as [number, string[]][]
    const marks = await store.pipeline(
      page.map((r) => ['exists', store.keys.draining(podKey(r.pod_namespace, r.pod_uid))]),
    )
    for (const [i, registration] of page.entries()) {
      const [lease, flat] = views[i] as [number, string[]]
      const fields = new Map<string, string>()
      for (let j = 0; j + 1 < flat.length; j += 2) fields.set(flat[j] as string, flat[j + 1] as string)
      const { nonce, host, pid, slots, started, pod_uid } = registration
      found.push({
        kind: 'process',
        id: nonce,
        registration,
        host,
        pid,
        queues: queuesOf(registration),
        slots,
        started: new Date(started),
        alive: lease === 1,
        paused: fields.has('paused'),
        draining: pod_uid !== '' && marks[i] === 1,
        running: [...fields]
          .flatMap(([slot, record]) => (/^\d+$/.test(slot) ? [runningOf(Number(slot), record)] : []))
          .sort((a, b) => a.slot - b.slot),
      })
    }
  }
  return found
}

/** Reads a record, `<k> <ms> <queue bytes> <queue><raw payload>`. */
function runningOf(slot: number, record: string): Running {
  const head = /^\d+ (\d+) (\d+) /.exec(record.slice(0, 100))
  if (!head) return { slot, queue: '', since: undefined, class: undefined, id: '' }
  const rest = Buffer.from(record.slice(head[0].length))
  const length = Number(head[2])
  const { class: name, id } = briefOf(rest.toString('utf8', length))
  return { slot, queue: rest.toString('utf8', 0, length), since: new Date(Number(head[1])), class: name, id }
}

/** The queues of a worker of another program, with skips, as its id `<host>:<pid>:<queues>` has them. */
export function foreignQueuesOf(id: string): readonly string[] {
  const [, , ...queues] = id.split(':')
  return queues
    .join(':')
    .split(',')
    .filter((queue) => queue !== '')
}

/** Whether a worker of another program, with such a list, serves no queue at all: it has skips only. */
export function servesNothing(queues: readonly string[]): boolean {
  return queues.every((queue) => queue.startsWith('!'))
}

async function viewForeign(store: Store, ids: readonly string[]): Promise<ForeignWorker[]> {
  const { keys } = store
  const found: ForeignWorker[] = []
  // What a worker runs holds its whole job.
  for (const page of pagesOf(ids, 100)) {
    const replies = await store.pipeline(
      page.flatMap((id): [string, ...string[]][] => [
        ['get', keys.worker(id)],
        ['get', keys.workerStarted(id)],
        ['hget', keys.heartbeat, id],
      ]),
    )
    const text = (i: number): string | undefined => (typeof replies[i] === 'string' ? replies[i] : undefined)
    for (const [i, id] of page.entries()) {
      const [host = '', pid = ''] = id.split(':')
      found.push({
        kind: 'foreign',
        id,
        host,
        pid: /^\d+/.test(pid) ? Number.parseInt(pid, 10) : undefined,
        queues: foreignQueuesOf(id),
        started: parseDate(text(3 * i + 1)),
        heartbeat: parseDate(text(3 * i + 2)),
        running: busyOf(text(3 * i)),
      })
    }
  }
  return found
}

/** Reads the family's `worker:<id>`: absent while idle; `{}` and what cannot be read count as idle. */
function busyOf(text: string | undefined): readonly Running[] {
  if (text === undefined) return []
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || !('payload' in value)) return []
    const { queue, run_at, payload } = value as Record<string, unknown>
    const { class: name, id } = briefOf(JSON.stringify(payload))
    return [{ slot: 0, queue: typeof queue === 'string' ? queue : '', since: parseDate(run_at), class: name, id }]
  } catch {
    return []
  }
}
