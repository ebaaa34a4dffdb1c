import { maxRecoveries } from '../config.ts'
import { ResQueueError } from '../errors.ts'
import type { Option } from '../option.ts'
import { isPausedAll, pauseAll, resumeAll } from '../queue/pause.ts'
import {
  listWorkers,
  pauseWorker,
  resumeWorker,
  showWorker,
  workersNamed,
  type WorkerInfo,
  type WorkerProcess,
} from '../queue/workers.ts'
import type { Store } from '../redis/store.ts'
import { all, dryRun, limit, output } from './options.ts'
import type { Column } from './output.ts'
import { age, isoOf } from './text.ts'
import type { Context, Verb } from './verb.ts'
import { prune } from './workerprune.ts'

interface Row {
  readonly id: string
  readonly kind: 'resqueue' | 'foreign'
  readonly host: string
  readonly pid: number | null
  readonly state: 'idle' | 'busy' | 'paused' | 'draining' | 'dead'
  readonly slots: number
  readonly busy: number
  readonly queues: readonly string[]
  readonly started_at: string | null
  readonly heartbeat_at: string | null
  readonly pod: string | null
  readonly version: string | null
  readonly isolation: string | null
  readonly running: readonly Running[]
}

interface Running {
  readonly slot: number
  readonly queue: string
  readonly class: string | null
  readonly id: string | null
  readonly since: string | null
}

const everyWorker: Option<boolean> = { ...all, about: 'Every worker of the namespace; instead of IDs.' }

const columns: readonly Column<Row>[] = [
  { title: 'ID', of: (row) => row.id },
  { title: 'HOST', of: (row) => row.host },
  { title: 'PID', right: true, of: (row) => row.pid },
  { title: 'STATE', of: (row) => row.state },
  { title: 'BUSY', right: true, of: (row) => `${row.busy}/${row.slots}` },
  { title: 'STARTED', of: (row) => row.started_at },
  { title: 'KIND', of: (row) => row.kind },
  { title: 'QUEUES', of: (row) => row.queues.join(',') },
]

async function ls({ get, output: out, store: open }: Context): Promise<number> {
  const store = await open()
  const wanted = get(limit)
  const found = await listWorkers(store, { limit: wanted === Infinity ? Number.MAX_SAFE_INTEGER : wanted + 1 })
  const paused = await isPausedAll(store)
  out.list(
    columns,
    found
      .slice(0, wanted)
      .map((worker) => rowOf(worker, paused))
      .sort(byPlace),
  )
  if (found.length > wanted) out.note(`The first ${wanted} workers; --limit 0 shows all`)
  if (paused) out.note('All workers are paused; resqueue worker resume --all ends that')
  return 0
}

async function show({ operands, output: out, store: open }: Context): Promise<number> {
  const store = await open()
  const id = operands[0] as string
  const worker = await showWorker(store, id)
  if (!worker) throw missing(id)
  const row = rowOf(worker, await isPausedAll(store))
  const now = Date.now()
  out.show(
    [
      ['id', row.id],
      ['kind', row.kind],
      ['host', row.host],
      ['pid', row.pid],
      ...(row.pod === null ? [] : [['pod', row.pod] as const]),
      ['state', row.state],
      ['slots', `${row.slots}, ${row.busy} busy`],
      ['queues', row.queues.join(',')],
      ['started', row.started_at],
      ...(row.heartbeat_at === null ? [] : [['heartbeat', row.heartbeat_at] as const]),
      ...(row.version === null ? [] : [['version', `${row.version}, isolation ${row.isolation}`] as const]),
      [
        'running',
        row.running.map(
          (job) =>
            `${job.class ?? '(unreadable)'} from ${job.queue}${job.id === null ? '' : `, id ${job.id}`}, for ${job.since === null ? 'unknown' : age((now - Date.parse(job.since)) / 1000)}`,
        ),
      ],
    ],
    row,
  )
  return 0
}

async function pause(context: Context): Promise<number> {
  return change(context, {
    everyone: async (store) => {
      await pauseAll(store)
      return 'All workers are paused, those of Ruby Resque as well'
    },
    one: pauseWorker,
    done: 'paused',
  })
}

async function resume(context: Context): Promise<number> {
  return change(context, {
    everyone: async (store) => {
      await resumeAll(store)
      return 'The pause of all workers has ended; those paused one by one stay paused'
    },
    one: resumeWorker,
    done: 'resumed',
  })
}

interface Change {
  readonly everyone: (store: Store) => Promise<string>
  readonly one: (store: Store, nonce: string) => Promise<string>
  readonly done: string
}

async function change(
  { operands, get, output: out, store: open }: Context,
  { everyone, one, done }: Change,
): Promise<number> {
  if (operands.length > 0 === get(everyWorker))
    throw new ResQueueError('USAGE', `name workers, or say --all${get(everyWorker) ? '; not both' : ''}`)
  const store = await open()
  if (get(everyWorker)) {
    out.done(await everyone(store), { all: true, [done]: true })
    return 0
  }
  const found = new Map<string, WorkerProcess>()
  for (const id of operands) {
    const named = await workersNamed(store, id)
    if (named.length === 0) throw missing(id)
    for (const worker of named) {
      if (worker.kind === 'foreign')
        throw new ResQueueError(
          'NOT_FOUND',
          `${id} is a worker of another program: send it USR2 or CONT, or use --all.`,
        )
      found.set(worker.id, worker)
    }
  }
  const results: [string, unknown][] = []
  for (const { id, host, pid } of found.values()) {
    if ((await one(store, id)) === 'absent') throw new ResQueueError('NOT_FOUND', `Worker ${id} has left meanwhile.`)
    results.push([`${id} (${host}, pid ${pid}): ${done}`, { id, host, pid, [done]: true }])
  }
  out.each(results)
  return 0
}

function missing(id: string): ResQueueError {
  return new ResQueueError('NOT_FOUND', `There is no worker ${id}; resqueue worker ls shows them.`)
}

/** Ours first, then by host and start, so that a listing looks the same twice. */
function byPlace(a: Row, b: Row): number {
  const place = ({ kind, host, started_at, id }: Row): string =>
    [kind === 'foreign' ? 1 : 0, host, started_at, id].join('\0')
  return place(a) < place(b) ? -1 : 1
}

function rowOf(worker: WorkerInfo, pausedAll: boolean): Row {
  const running = worker.running.map((job): Running => ({
    slot: job.slot,
    queue: job.queue,
    class: job.class ?? null,
    id: job.id || null,
    since: isoOf(job.since),
  }))
  const common = {
    id: worker.id,
    host: worker.host,
    pid: worker.pid ?? null,
    queues: worker.queues,
    started_at: isoOf(worker.started),
    busy: running.length,
    running,
  }
  const working = running.length > 0 ? 'busy' : pausedAll ? 'paused' : 'idle'
  if (worker.kind === 'foreign') {
    return {
      ...common,
      kind: 'foreign',
      state: working,
      slots: 1,
      heartbeat_at: isoOf(worker.heartbeat),
      pod: null,
      version: null,
      isolation: null,
    }
  }
  const { registration, alive, draining, paused, slots } = worker
  return {
    ...common,
    kind: 'resqueue',
    state: !alive ? 'dead' : draining ? 'draining' : paused || pausedAll ? 'paused' : working,
    slots,
    heartbeat_at: null,
    pod: registration.pod || null,
    version: registration.version,
    isolation: registration.isolation,
  }
}

export const verbs: readonly Verb[] = [
  {
    name: 'ls',
    summary: 'list all workers, those of other programs as well',
    operands: '',
    count: [0, 0],
    about:
      'STATE is "dead" for a worker of ResQueue whose lease has expired: another worker puts its jobs back within seconds.',
    examples: ['worker ls', 'worker ls -o json'],
    options: [limit, output],
    redis: true,
    run: ls,
  },
  {
    name: 'show',
    summary: 'show one worker, what it runs and since when',
    operands: 'ID',
    count: [1, 1],
    about: 'ID is what `worker ls` shows, the name of a pod, or an id as Resque dashboards show it.',
    examples: ['worker show 9d013abb0e7b', 'worker show mailers-7c9f5d-x2x4k'],
    options: [output],
    redis: true,
    run: show,
  },
  {
    name: 'pause',
    summary: 'pause workers, so that they take no more jobs',
    operands: '[ID…]',
    count: [0, Infinity],
    about:
      'Running jobs continue. The name of a pod stands for every worker in it. --all pauses every worker of the namespace, including those that start later and those of Ruby Resque; php-resque and node-resque do not know this pause.',
    examples: ['worker pause 9d013abb0e7b', 'worker pause --all'],
    options: [everyWorker, output],
    redis: true,
    run: pause,
  },
  {
    name: 'resume',
    summary: 'resume paused workers',
    operands: '[ID…]',
    count: [0, Infinity],
    about: '--all ends only the pause of all workers: those that were paused one by one stay paused.',
    examples: ['worker resume 9d013abb0e7b', 'worker resume --all'],
    options: [everyWorker, output],
    redis: true,
    run: resume,
  },
  {
    name: 'prune',
    summary: 'remove dead workers and put their jobs back',
    operands: '',
    count: [0, 0],
    about:
      'Workers of ResQueue do this for each other within seconds; use it when none is left. A worker counts as dead when its lease is missing at two checks, so this takes a few seconds; after an outage of Redis it waits until living workers have had time to renew. Workers of other programs are left alone.',
    examples: ['worker prune --dry-run', 'worker prune'],
    options: [dryRun, maxRecoveries, output],
    redis: true,
    run: prune,
  },
]
