import { expect } from 'vitest'
import { expectKept, job, LEDGER_JOBS, startLedger, takeAccount, type Ledger } from '../support/ledger.ts'
import { waitFor } from '../support/wait.ts'
import { deploy, type Values } from './releases.ts'
import { looker } from './scaling.ts'
import type { Cluster } from './support/cluster.ts'
import { test } from './support/fixtures.ts'
import { RUN_HERE, startPodRunner, type PodRunner } from './support/podrunner.ts'

const WORKERS = 'rq-resqueue-default'

/**
 * A release whose pods are real processes: with the arguments, the environment and the rights that the chart renders.
 */
const real = (redisUrl: string, ns: string, pool: Values): Values => ({
  redis: { url: redisUrl, namespace: ns },
  workerDefaults: {
    podAnnotations: RUN_HERE,
    jobs: LEDGER_JOBS,
    isolation: 'auto',
    queues: ['q'],
    killDelaySeconds: 1,
  },
  workers: { default: pool },
  controller: { podAnnotations: RUN_HERE, logLevel: 'debug' },
})

/** Runs the pods of the release, the controller with its own service account. */
async function run(cluster: Cluster, namespace: string, ledger: Ledger): Promise<PodRunner> {
  const kubeconfig = await cluster.kubeconfig({ serviceAccount: `${namespace}/rq-resqueue-controller` })
  return startPodRunner({
    cluster,
    namespace,
    env: ledger.env,
    readyLine: 'r started"',
    args: (args) => [...args, '--port=0', ...(args[0] === 'control' ? [`--kubeconfig=${kubeconfig}`] : [])],
  })
}

test(
  'a release as it is rendered: from zero to jobs done and back, with the rights that the chart gives',
  {
    timeout: 180_000,
  },
  async ({ cluster, namespace, redis, redisUrl, ns }) => {
    const quick = { cooldownSeconds: 3, behavior: { scaleDown: { stabilizationWindowSeconds: 2 } } }
    const scaling = { enabled: true, maxReplicas: 3, ...quick }
    await deploy(cluster, 'install', 'rq', namespace, real(redisUrl, ns, { concurrency: 2, scaling }))
    const ledger = startLedger()
    const look = looker({ cluster, namespace })
    const runner = await run(cluster, namespace, ledger)
    await waitFor(async () => (await look.condition('Ready', WORKERS)) === 'True Scaling', {
      describe: async () => [await look.status(WORKERS), runner.pods.map((pod) => pod.process.stdout.slice(-2000))],
    })
    await look.reaches(0, WORKERS)
    await runner.settled(1)
    const lease = await cluster.api.get<{ spec: { holderIdentity: string } }>(
      `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/rq-resqueue-controller`,
    )
    expect(lease.spec.holderIdentity).toContain('rq-resqueue-controller-')

    const sent = Array.from({ length: 6 }, () => job('q', 'Note', [200]))
    await redis.sadd(`${ns}:queues`, 'q')
    await redis.rpush(`${ns}:queue:q`, ...sent.map((one) => one.raw))
    for (const { id } of sent) await ledger.sees('end', id, 1)
    expectKept(sent, await takeAccount(redis, ns, ledger), ledger)
    await look.reaches(0, WORKERS)
    await runner.settled(1)
    const reasons = (await look.events()).map(({ reason }) => reason)
    expect(reasons).toEqual(expect.arrayContaining(['SuccessfulRescale', 'DrainStarted']))
    const controller = runner.pods[0]?.process
    expect(controller?.stdout).not.toMatch(/[Ff]orbidden/)
  },
)

test('two releases in two namespaces, each with a namespace of its own in one Redis: each does its own jobs', async ({
  cluster,
  redis,
  redisUrl,
  ns,
}) => {
  const quick = { cooldownSeconds: 3, behavior: { scaleDown: { stabilizationWindowSeconds: 2 } } }
  const scaling = { enabled: true, maxReplicas: 3, ...quick }
  const sides = await Promise.all(
    ['one', 'two'].map(async (side) => {
      const namespace = await cluster.namespace()
      const prefix = `${ns}:${side}`
      await deploy(cluster, 'install', 'rq', namespace, real(redisUrl, prefix, { concurrency: 2, scaling }))
      const ledger = startLedger()
      const runner = await run(cluster, namespace, ledger)
      return { prefix, ledger, runner, look: looker({ cluster, namespace }) }
    }),
  )
  const [one, two] = sides as [(typeof sides)[0], (typeof sides)[0]]
  for (const { look } of sides) await look.reaches(0, WORKERS)
  for (const [busy, idle] of [
    [one, two],
    [two, one],
  ] as const) {
    const before = idle.ledger.notes.length
    const sent = Array.from({ length: 4 }, () => job('q', 'Note', [200]))
    await redis.sadd(`${busy.prefix}:queues`, 'q')
    await redis.rpush(`${busy.prefix}:queue:q`, ...sent.map(({ raw }) => raw))
    for (const { id } of sent) await busy.ledger.sees('end', id, 1)
    expectKept(sent, await takeAccount(redis, busy.prefix, busy.ledger), busy.ledger)
    expect(idle.ledger.notes.length).toBe(before)
    expect(await idle.look.replicas(WORKERS)).toBe(0)
    await busy.look.reaches(0, WORKERS)
  }
  const processed = await Promise.all(sides.map(({ prefix }) => redis.get(`${prefix}:stat:processed`)))
  expect(processed).toEqual(['4', '4'])
})

test('helm upgrade under load: every job is done once, and none fails', async ({
  cluster,
  namespace,
  redis,
  redisUrl,
  ns,
}) => {
  const values = (round: number): Values =>
    real(redisUrl, ns, {
      replicas: 2,
      concurrency: 2,
      env: [{ name: 'ROUND', value: String(round) }],
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    })
  const controller = { controller: { enabled: false } }
  await deploy(cluster, 'install', 'rq', namespace, { ...values(0), ...controller })
  const ledger = startLedger()
  const runner = startPodRunner({ cluster, namespace, env: ledger.env })
  await runner.settled(2)
  await redis.sadd(`${ns}:queues`, 'q')
  const sent: ReturnType<typeof job>[] = []
  const send = async (): Promise<void> => {
    const one = job('q', 'Note', [300])
    sent.push(one)
    await redis.rpush(`${ns}:queue:q`, one.raw)
  }
  const stop = new AbortController()
  // Steady: the next job comes when fewer than six wait or run.
  const load = (async () => {
    while (!stop.signal.aborted) {
      await waitFor(() => sent.length - ledger.of('end').length < 6 || stop.signal.aborted)
      if (!stop.signal.aborted) await send()
    }
  })()
  for (const round of [1, 2]) {
    const before = new Set(runner.pods.map((pod) => pod.uid))
    await deploy(cluster, 'upgrade', 'rq', namespace, { ...values(round), ...controller })
    await waitFor(
      async () => {
        const pods = await runner.settled(2, 100).catch(() => [])
        return pods.length === 2 && pods.every((pod) => !before.has(pod.uid))
      },
      { timeoutMs: 90_000 },
    )
  }
  stop.abort()
  await load
  for (const { id } of sent) await ledger.sees('end', id, 1)
  expectKept(sent, await takeAccount(redis, ns, ledger), ledger)
  expect(sent.length).toBeGreaterThan(10)
  expect(sent.filter(({ id }) => ledger.of('end', id).length !== 1)).toEqual([])
  // A job is recorded a moment after it has noted its end.
  await waitFor(async () => Number(await redis.get(`${ns}:stat:processed`)) === sent.length)
  expect([Number(await redis.get(`${ns}:stat:failed`)), await redis.llen(`${ns}:failed`)]).toEqual([0, 0])
})
