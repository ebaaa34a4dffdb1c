import { kubeconfig, kubeContext } from '../controloptions.ts'
import { API_VERSION, KIND, type Condition, type Scaler } from '../controller/api.ts'
import { openApiServer, refusal, type ApiServer } from '../controller/apiserver.ts'
import { kubeAccess } from '../controller/kube.ts'
import { problemText, readScaler } from '../controller/readscaler.ts'
import { collection, listAll, SCALERS, type KubeObject, type List } from '../controller/resources.ts'
import { ResQueueError } from '../errors.ts'
import { text, type Option } from '../option.ts'
import { yesNo } from '../values.ts'
import { limit, output } from './options.ts'
import type { Column } from './output.ts'
import { age } from './text.ts'
import type { Context, Verb } from './verb.ts'

const kubeNamespace: Option<string | undefined> = {
  ...text('kube-namespace', 'NAME', "Kubernetes namespace; default: the context's."),
  short: 'n',
}

const everywhere: Option<boolean> = {
  flag: 'all-namespaces',
  short: 'A',
  fallback: false,
  about: 'All Kubernetes namespaces.',
  read: yesNo,
}

interface Row {
  readonly namespace: string
  readonly name: string
  readonly target: string
  readonly queues: readonly string[]
  readonly min_replicas: number
  readonly max_replicas: number
  readonly replicas: number | null
  readonly desired_replicas: number | null
  readonly waiting: number | null
  readonly running: number | null
  readonly latency_seconds: number | null
  readonly ready: string
  readonly reason: string | null
}

const columns: readonly Column<Row>[] = [
  { title: 'NAMESPACE', of: (row) => row.namespace },
  { title: 'NAME', of: (row) => row.name },
  { title: 'TARGET', of: (row) => row.target },
  { title: 'MIN', right: true, of: (row) => row.min_replicas },
  { title: 'MAX', right: true, of: (row) => row.max_replicas },
  { title: 'REPLICAS', right: true, of: (row) => row.replicas },
  { title: 'DESIRED', right: true, of: (row) => row.desired_replicas },
  { title: 'WAITING', right: true, of: (row) => row.waiting },
  { title: 'LATENCY', right: true, of: (row) => age(row.latency_seconds) },
  { title: 'READY', of: (row) => row.ready },
  { title: 'REASON', of: (row) => row.reason },
  { title: 'QUEUES', of: (row) => row.queues.join(',') },
]

async function withApi<T>({ get, env }: Context, use: (api: ApiServer, namespace: string) => Promise<T>): Promise<T> {
  const access = await kubeAccess({ kubeconfig: get(kubeconfig), context: get(kubeContext), env })
  const api = openApiServer(access)
  try {
    return await use(api, get(kubeNamespace) ?? access.namespace)
  } finally {
    api.close()
  }
}

async function ls(context: Context): Promise<number> {
  const { get, output: out } = context
  const items = await withApi(context, (api, namespace) =>
    listAll<KubeObject>(api, collection(SCALERS, get(everywhere) ? undefined : namespace)).then((all) => all.items),
  )
  const scalers = items.flatMap((item) => {
    const read = readScaler({ apiVersion: API_VERSION, kind: KIND, ...item })
    if (read.ok) return [read.scaler]
    // What an older resource let through the controller does not serve either.
    const { namespace, name } = item.metadata
    out.note(`${namespace}/${name} cannot be used: ${read.problems.map(problemText).join('; ')}`)
    return []
  })
  const wanted = get(limit)
  out.list(columns, scalers.slice(0, wanted).map(rowOf))
  if (scalers.length > wanted) out.note(`The first ${wanted} scalers; --limit 0 shows all`)
  return 0
}

async function explain(context: Context): Promise<number> {
  const { operands, output: out } = context
  const name = operands[0] as string
  return withApi(context, async (api, namespace) => {
    const reply = await api.request({ path: `${collection(SCALERS, namespace)}/${name}` })
    if (reply.status === 404)
      throw new ResQueueError(
        'NOT_FOUND',
        `There is no WorkerScaler ${name} in ${namespace}; resqueue scaler ls shows them.`,
      )
    if (reply.status !== 200) throw refusal(`read the WorkerScaler ${namespace}/${name}`, reply)
    const read = readScaler(reply.body)
    if (!read.ok) throw new ResQueueError('CONFIG', read.problems.map(problemText).join('; '))
    const { scaler } = read
    const events = await eventsOf(api, scaler)
    const { spec, status } = scaler
    const { demand } = status
    const target =
      'jobsPerReplica' in spec.target
        ? `${spec.target.jobsPerReplica} jobs per replica`
        : `${spec.target.latencySeconds} s until a job starts`
    out.show(
      [
        ['scaler', `${scaler.namespace}/${scaler.name}`],
        ['target', `Deployment ${spec.scaleTargetRef.name}: ${target}`],
        ['queues', `${spec.queues.join(', ')} on the Redis connection ${spec.redis.name}`],
        [
          'replicas',
          `${shown(status.replicas)} of ${spec.minReplicas} to ${spec.maxReplicas}; ${shown(status.desiredReplicas)} wanted`,
        ],
        [
          'jobs',
          status.jobs &&
            `${status.jobs.waiting} waiting, ${status.jobs.running} running, the oldest for ${age(status.latencySeconds)}`,
        ],
        [
          'arrivals',
          status.arrivalRate === undefined
            ? undefined
            : `${status.arrivalRate} jobs/s, ${shown(status.serviceSeconds)} s each, ${shown(status.slotsPerReplica)} slots per replica`,
        ],
        [
          'demand',
          demand && [
            `rate      ${demand.rate}  arrivals × seconds each ÷ slots, with headroom`,
            `backlog   ${demand.backlog}  to start what waits in time`,
            `busy      ${demand.busy}  slots that run a job`,
            `lookahead ${demand.lookahead}  with the jobs that come due soon`,
          ],
        ],
        [
          'draining',
          status.draining && status.draining.count > 0
            ? `${status.draining.count}: ${status.draining.names.join(', ')}`
            : undefined,
        ],
        ['last scaled', status.lastScaleTime],
        [
          'conditions',
          (status.conditions ?? []).map((one) => `${one.type}=${one.status} ${one.reason}: ${one.message}`),
        ],
        ['events', events.map((one) => `${one.time} ${one.reason}: ${one.note}`)],
      ],
      { ...rowOf(scaler), spec, status, events },
    )
    return 0
  })
}

interface ToldEvent {
  readonly time: string
  readonly reason: string
  readonly note: string
}

/** The last ten events of a scaler; none where this user may not read events. */
async function eventsOf(api: ApiServer, { namespace, uid }: Scaler): Promise<readonly ToldEvent[]> {
  interface Event extends KubeObject {
    readonly eventTime?: string
    readonly reason?: string
    readonly note?: string
    readonly series?: { readonly lastObservedTime?: string }
  }
  const reply = await api.request({
    path: `/apis/events.k8s.io/v1/namespaces/${namespace}/events`,
    query: { fieldSelector: `regarding.uid=${uid}`, limit: 500 },
  })
  if (reply.status !== 200) return []
  return (reply.body as List<Event>).items
    .map(({ eventTime, series, reason = '', note = '' }) => ({
      time: (series?.lastObservedTime ?? eventTime ?? '').slice(0, 19) + 'Z',
      reason,
      note,
    }))
    .sort((a, b) => (a.time < b.time ? 1 : -1))
    .slice(0, 10)
}

function shown(value: number | undefined): string {
  return value === undefined ? '?' : String(value)
}

function rowOf({ namespace, name, spec, status }: Scaler): Row {
  const ready: Condition | undefined = status.conditions?.find(({ type }) => type === 'Ready')
  return {
    namespace,
    name,
    target: spec.scaleTargetRef.name,
    queues: spec.queues,
    min_replicas: spec.minReplicas,
    max_replicas: spec.maxReplicas,
    replicas: status.replicas ?? null,
    desired_replicas: status.desiredReplicas ?? null,
    waiting: status.jobs?.waiting ?? null,
    running: status.jobs?.running ?? null,
    latency_seconds: status.latencySeconds ?? null,
    ready: ready?.status ?? 'Unknown',
    reason: ready?.reason ?? null,
  }
}

export const verbs: readonly Verb[] = [
  {
    name: 'ls',
    summary: 'list WorkerScalers, with their present and desired replicas',
    operands: '',
    count: [0, 0],
    examples: ['scaler ls', 'scaler ls --all-namespaces -o json'],
    options: [kubeNamespace, everywhere, kubeconfig, kubeContext, limit, output],
    redis: false,
    run: ls,
  },
  {
    name: 'explain',
    summary: 'explain the last decision of a WorkerScaler',
    operands: 'NAME',
    count: [1, 1],
    about:
      'Reads its status and events from the API server: what was observed, how many replicas each term of the demand asks for, and what stands in the way.',
    examples: ['scaler explain mailers', 'scaler explain mailers -n production -o json'],
    options: [kubeNamespace, kubeconfig, kubeContext, output],
    redis: false,
    run: explain,
  },
]
