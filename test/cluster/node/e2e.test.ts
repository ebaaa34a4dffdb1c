import { expect } from 'vitest'
import { waitFor } from '../../support/wait.ts'
import type { Cluster } from '../support/cluster.ts'
import type { ContainerStatus, Pod } from '../support/pod.ts'
import { test } from './support/fixtures.ts'
import type { RealCluster } from './support/node.ts'
import { countOf } from './support/notes.ts'
import { startPrometheus, type Prometheus } from './support/prometheus.ts'
import { POOL, prepareRelease, type Release } from './support/release.ts'

const VALUES = {
  workers: {
    default: {
      queues: ['mail', 'reports'],
      concurrency: 2,
      shutdownTimeoutSeconds: 60,
      scaling: {
        enabled: true,
        maxReplicas: 4,
        target: { latencySeconds: 5 },
        cooldownSeconds: 5,
        behavior: { scaleDown: { stabilizationWindowSeconds: 5 } },
      },
    },
  },
  controller: { admissionPolicy: { enabled: true }, aggregateRoles: true },
  networkPolicy: { enabled: true },
  metrics: {
    podMonitor: { enabled: true, interval: '1s', scrapeTimeout: '1s' },
    prometheusRule: { enabled: true },
    dashboard: { enabled: true },
  },
}

let serial = 0
const keysOf = (maker: string, count: number): string[] =>
  Array.from({ length: count }, () => `e2e-${maker}-${++serial}-`)

/** As `Resque.enqueue(Mail::Deliver, key, ms)` of Ruby writes it. */
const likeRuby = (key: string, ms: number): string => `{"class":"Mail::Deliver","args":[${JSON.stringify(key)},${ms}]}`
/** As `Resque::enqueue('reports', 'App\Jobs\Report', [...])` of php-resque writes it. */
const likePhp = (key: string, ms: number): string =>
  String.raw`{"class":"App\\Jobs\\Report","args":[{"key":"${key}","ms":${ms},"path":"\/app\/x"}],"id":"${(++serial).toString(16).padStart(32, '0')}","prefix":"","queue_time":${Date.now() / 1000}}`

test(
  'a release from its installation to its end, with everything that may happen in between',
  { timeout: 600_000 },
  async ({ cluster, images, namespace, sharedNode }) => {
    const release = await prepareRelease({ cluster, images, namespace, sharedNode }, VALUES)
    const before = await everything(cluster, namespace)
    const step = stopwatch()
    await release.install()
    step('installed')
    const prometheus = await startPrometheus(cluster, namespace, 'rq-resqueue')
    await fromZero(release)
    step('from zero, by all clients')
    await monitored(release, prometheus)
    step('scraped')
    await scaledDown(release)
    step('scaled down beside long jobs')
    await rolledOut(release)
    step('rolled out under load')
    await killed(cluster, release)
    expect(await prometheus.query('max_over_time(sum(resqueue_jobs_recovered_total)[5m:1s]) > 0')).toHaveLength(1)
    step('killed: worker, controller, Redis')
    await release.helm('uninstall', 'rq', '--wait', '--timeout', '90s')
    await leavesNothing(cluster, namespace, before)
    expect(await release.redis.smembers('resque:workers')).toEqual([])
    step('uninstalled')
  },
)

/** Jobs of our client in a pod and of others from outside; the pool comes up from nothing. */
async function fromZero(release: Release): Promise<void> {
  const { look, push } = release
  await look.reaches(0, POOL)
  await waitFor(async () => (await release.pods('worker')).length === 0)
  const [long, short, ruby, php] = [keysOf('long', 5), keysOf('short', 5), keysOf('ruby', 5), keysOf('php', 5)]
  const ids = await release.inApplication(`
    import { ResQueue } from 'resqueue'
    await using queue = new ResQueue({ redis: 'redis://redis:6379' })
    for (const key of ${JSON.stringify(long)})
      console.log(await queue.enqueue({ queue: 'mail', class: 'Mail::Deliver', args: [key, 100] }))
    for (const key of ${JSON.stringify(short)})
      console.log(await queue.enqueue('reports', 'App\\\\Jobs\\\\Report', { key, ms: 100 }, { track: true }))
  `)
  expect(new Set(ids.trim().split('\n')).size).toBe(10)
  await waitFor(async () => (await look.replicas(POOL)) > 0, { describe: () => look.status(POOL) })
  await push('mail', ...ruby.map((key) => likeRuby(key, 100)))
  await push('reports', ...php.map((key) => likePhp(key, 100)))
  await release.ended([...long, ...short, ...ruby, ...php])
  await expectOnce(release)
}

/** A real Prometheus finds workers and controller by the PodMonitor, and has nothing against the rules. */
async function monitored(release: Release, prometheus: Prometheus): Promise<void> {
  const { look } = release
  const of = (metric: string): string => `${metric}{job="${release.namespace}/rq-resqueue"}`
  // A pool without work would be gone before it was scraped.
  const keys = keysOf('held', 1)
  await release.push('mail', ...keys.map((key) => JSON.stringify({ class: 'Wait', args: [key, key] })))
  const value = async (expression: string): Promise<number> =>
    Number((await prometheus.query(expression))[0]?.value[1] ?? Number.NaN)
  await waitFor(async () => (await value(`sum(${of('resqueue_slots')})`)) >= 2, {
    describe: () => prometheus.targets(),
  })
  await waitFor(async () => (await value(`max(${of('resqueue_leader')})`)) === 1)
  await waitFor(async () => (await value(of('resqueue_scaler_replicas'))) === (await look.replicas(POOL)))
  await waitFor(
    async () => {
      const up = (await prometheus.targets()).filter(({ health }) => health === 'up')
      return new Set(up.map(({ labels }) => labels['container'])).size === 2
    },
    { describe: () => prometheus.targets() },
  )
  const rules = await waitFor(async () => {
    const all = await prometheus.rules()
    return all.length > 0 && all.every(({ health }) => health !== 'unknown') && all
  })
  expect(rules.map(({ name }) => name)).toEqual(expect.arrayContaining(['ResqueueNoWorkers', 'ResqueueScalerHeld']))
  for (const rule of rules) expect(rule).toMatchObject({ health: 'ok', state: expect.not.stringMatching('firing') })
  // The rules look for series that are there.
  const matchers = /resqueue_reserve_loop_age_seconds(\{.*?\})/.exec(rules.map(({ query }) => query).join())?.[1]
  expect(await value(`count(resqueue_scaler_replicas${matchers}) + count(resqueue_leader${matchers})`)).toBe(2)
  for (const key of keys) release.open(key)
  await release.ended(keys)
}

/** The scaler gives up two pods of four, and not those that have a long job. */
async function scaledDown(release: Release): Promise<void> {
  const { look } = release
  const keys = keysOf('gated', 8)
  await release.push('mail', ...keys.map((key) => JSON.stringify({ class: 'Wait', args: [key, key] })))
  const started = await waitFor(
    () => {
      const found = release.notes.filter(({ word, key }) => word === 'start' && keys.includes(key))
      return found.length === keys.length && found
    },
    { timeoutMs: 90_000, everyMs: 100, describe: () => look.status(POOL) },
  )
  const long = new Map(started.map(({ key, pod }) => [pod, key]))
  expect([long.size, await look.replicas(POOL)]).toEqual([4, 4])
  // One job in each of the two pods that were the last to start: without a mark these would be the first to go.
  const staying = [...long].slice(-2)
  const short = keys.filter((key) => !staying.some(([, stays]) => stays === key))
  for (const key of short) release.open(key)
  await release.ended(short)
  await waitFor(async () => (await look.replicas(POOL)) <= 2 && (await release.pods('worker')).length <= 2, {
    // On a slow machine the jobs of the steps before took long, and what is foreseen of them fades over minutes.
    timeoutMs: 300_000,
    everyMs: 100,
    describe: () => look.status(POOL),
  })
  const pods = (await release.pods('worker')).filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  expect(pods.map(({ metadata }) => metadata.name).sort()).toEqual(staying.map(([pod]) => pod).sort())
  for (const [, key] of staying) release.open(key)
  await release.ended(keys)
  await expectOnce(release)
}

/** Every pod is replaced while jobs come and go. */
async function rolledOut(release: Release): Promise<void> {
  const sent: string[] = []
  const doing = (): number => [...countOf(release.notes, 'end', sent).values()].filter((count) => count === 0).length
  const stop = new AbortController()
  const load = (async () => {
    while (!stop.signal.aborted) {
      await waitFor(() => stop.signal.aborted || doing() < 8, { timeoutMs: 90_000, everyMs: 50 })
      if (stop.signal.aborted) return
      const [key = ''] = keysOf('rollout', 1)
      sent.push(key)
      await release.push('mail', likeRuby(key, 300 + (sent.length % 5) * 400))
    }
  })()
  await waitFor(() => sent.length - doing() >= 4)
  const running = async (): Promise<string[]> => (await release.pods('worker')).map(({ metadata }) => metadata.uid)
  // Nobody that is just starting: a container's first process hears no TERM in its first moment, and none is sent again.
  await release.k('rollout', 'status', `deployment/${POOL}`, '--timeout=55s')
  const old = await running()
  expect(old.length).toBeGreaterThan(0)
  await release.k('rollout', 'restart', `deployment/${POOL}`)
  await release.k('rollout', 'status', `deployment/${POOL}`, '--timeout=55s')
  // Their jobs take two seconds at most; who does not hear the TERM would be killed after 70.
  await waitFor(async () => !(await running()).some((uid) => old.includes(uid)), {
    everyMs: 200,
    describe: () => release.k('get', 'pods'),
  })
  stop.abort()
  await load
  await release.ended(sent)
  expect(sent.length).toBeGreaterThan(10)
  await expectOnce(release)
}

/** What has no chance to clean up: the first process of a worker, that of the controller, and Redis with its pod. */
async function killed(cluster: RealCluster, release: Release): Promise<void> {
  const [unknown = '', broken = '', unserved = ''] = keysOf('odd', 3)
  await release.push('mail', `{"class":"Nobody::Knows","args":["${unknown}"]}`, `no JSON: ${broken}`)
  await release.push('nobody', likeRuby(unserved, 0))
  const batch = async (maker: string, kill: (busy: Pod) => unknown): Promise<string[]> => {
    const keys = keysOf(maker, 16)
    await release.push('mail', ...keys.map((key) => likeRuby(key, 1000)))
    const busy = await waitFor(async () => {
      const ended = new Set(release.notes.filter(({ word }) => word === 'end').map(({ key }) => key))
      const running = release.notes.filter(({ key }) => keys.includes(key) && !ended.has(key))
      const names = new Set(running.map(({ pod }) => pod))
      return (await release.pods('worker')).find(({ metadata }) => names.has(metadata.name))
    })
    await kill(busy)
    await release.ended(keys, 90_000)
    return keys
  }
  const killFirst = (pod: Pod | undefined): void => {
    const first = cluster.containerProcesses(statusOf(pod)?.containerID ?? '')[0]
    expect(first?.command).toMatch(/^tini /)
    process.kill(first?.pid as number, 'SIGKILL')
  }
  // What ran there is run again.
  await batch('worker', killFirst)

  const controller = async (): Promise<Pod | undefined> => (await release.pods('controller'))[0]
  const once = await batch('controller', async () => killFirst(await controller()))
  expect([...countOf(release.notes, 'end', once)].filter(([, count]) => count !== 1)).toEqual([])
  await waitFor(async () => statusOf(await controller())?.restartCount === 1, { everyMs: 200 })
  await release.k('rollout', 'status', 'deployment/rq-resqueue-controller', '--timeout=55s')

  const redisUid = (): Promise<string> => release.k('get', 'pod', 'redis-0', '-o', 'jsonpath={.metadata.uid}')
  const before = await redisUid()
  await batch('redis', () => release.k('delete', 'pod', 'redis-0'))
  expect(await redisUid()).not.toBe(before)

  await waitFor(async () => (await release.places()).held === '', { everyMs: 200 })
  const { waiting, failed, retried, quarantined } = await release.places()
  const odd = [waiting, failed, quarantined].map((place) => place.match(/e2e-\w+-\d+-/g))
  expect([...odd, retried]).toEqual([[unserved], [unknown], [broken], ''])
}

const statusOf = (pod: Pod | undefined): ContainerStatus | undefined => pod?.status?.containerStatuses?.[0]

/** Every job that has started has ended, once. */
async function expectOnce({ notes, places, redis }: Release): Promise<void> {
  const keys = [...new Set(notes.map(({ key }) => key))]
  for (const word of ['start', 'end'] as const)
    expect([...countOf(notes, word, keys)].filter(([, count]) => count !== 1)).toEqual([])
  const { failed, retried, quarantined } = await places()
  expect([failed, retried, quarantined]).toEqual(['', '', ''])
  await waitFor(async () => Number(await redis.get('resque:stat:processed')) === keys.length)
}

/** The names of all objects that there are, but Events: those of the namespace, and those of none. */
async function everything(cluster: Cluster, namespace: string): Promise<ReadonlySet<string>> {
  const namesOf = async (namespaced: boolean): Promise<string[]> => {
    const kinds = await cluster.kubectl('api-resources', '--verbs=list', `--namespaced=${namespaced}`, '-o', 'name')
    const wanted = kinds.split('\n').filter((kind) => kind !== '' && !/^events(\.|$)/.test(kind))
    const out = await cluster.kubectl('-n', namespace, 'get', wanted.join(','), '-o', 'name', '--ignore-not-found')
    return out.split('\n').filter(Boolean)
  }
  return new Set([...(await namesOf(true)), ...(await namesOf(false))])
}

/** What Kubernetes takes away after Helm is given a moment; the kind WorkerScaler and the leader's Lease stay. */
async function leavesNothing(cluster: Cluster, namespace: string, before: ReadonlySet<string>): Promise<void> {
  const kept = [
    'apiservice.apiregistration.k8s.io/v1alpha1.resqueue.dev',
    'customresourcedefinition.apiextensions.k8s.io/workerscalers.resqueue.dev',
    'lease.coordination.k8s.io/rq-resqueue-controller',
  ]
  const left = async (): Promise<string[]> =>
    [...(await everything(cluster, namespace))].filter((name) => !before.has(name) && !kept.includes(name))
  await waitFor(async () => (await left()).length === 0, { everyMs: 500, describe: left })
  expect(await cluster.kubectl('get', ...kept.slice(0, 2), '-o', 'name')).toBe(`${kept.slice(0, 2).join('\n')}\n`)
  expect(await cluster.kubectl('-n', namespace, 'get', 'lease', '-o', 'name')).toBe(`${kept[2]}\n`)
}

function stopwatch(): (what: string) => void {
  let since = performance.now()
  return (what) => {
    console.log(`${what}: ${((performance.now() - since) / 1000).toFixed(1)} s`)
    since = performance.now()
  }
}
