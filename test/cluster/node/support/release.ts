import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { openClient } from '../../../support/redis.ts'
import { PATIENCE_MS, waitFor } from '../../../support/wait.ts'
import { applyMonitoring, CHART, type Values } from '../../releases.ts'
import { looker } from '../../scaling.ts'
import type { Pod } from '../../support/pod.ts'
import { imageWithJobs } from '../../tools/images.ts'
import type { NodeFixtures } from './fixtures.ts'
import { countOf, readNotes, type Note } from './notes.ts'
import { claim, idlePod, keptRedis } from './parts.ts'

const JOBS = new URL('../jobs', import.meta.url).pathname
const NS = 'resque'
/** The Deployment and the WorkerScaler of the pool `default` in the release `rq`. */
export const POOL = 'rq-resqueue-default'

/** `name:tag` as the chart takes it; the image is on the node already. */
function imageValues(name: string): Values {
  const colon = name.lastIndexOf(':')
  return { repository: name.slice(0, colon), tag: name.slice(colon + 1), pullPolicy: 'Never' }
}

/**
 * One release on a real node, with what stands around it in a user's cluster: a Redis that keeps its data, an
 * application, a volume.
 */
export interface Release {
  readonly namespace: string
  readonly look: ReturnType<typeof looker>
  /** Redis, from outside the cluster. */
  readonly redis: Redis
  readonly notes: readonly Note[]
  /** `helm install`; what it printed. */
  install(): Promise<string>
  helm(...args: readonly string[]): Promise<string>
  k(...args: readonly string[]): Promise<string>
  /** Runs a module in the application's pod. */
  inApplication(script: string): Promise<string>
  /** Puts raw payloads into a queue, as every client of the family does. */
  push(queue: string, ...raws: readonly string[]): Promise<void>
  /** Waits until all of these jobs have noted their end. */
  ended(keys: readonly string[], timeoutMs?: number): Promise<void>
  /** Lets the Wait jobs of that gate end. */
  open(gate: string): void
  /** Pods of a component, `worker` or `controller`. */
  pods(component: string): Promise<readonly Pod[]>
  /** Every text in Redis that holds a job, by the place where it is. */
  places(): Promise<Readonly<Record<'waiting' | 'held' | 'failed' | 'retried' | 'quarantined', string>>>
}

/** Makes all but the release itself, which `install` does then, with these values. */
export async function prepareRelease(
  { cluster, images, namespace, sharedNode }: NodeFixtures,
  values: Values,
): Promise<Release> {
  const jobs = imageWithJobs(JOBS)
  cluster.load(jobs)
  await applyMonitoring(cluster)
  const notesClass = await cluster.storageClass()
  const folder = join(sharedNode.address.dir, 'volumes', notesClass)
  const redisParts = keptRedis(images.redis.name, await cluster.storageClass())
  await cluster.apply([claim('notes', notesClass), ...redisParts, idlePod('app', jobs.name)], { namespace })
  const k = (...args: readonly string[]): Promise<string> => cluster.kubectl('-n', namespace, ...args)
  await k('rollout', 'status', 'statefulset/redis', '--timeout=60s')
  await k('wait', '--for=condition=Ready', 'pod/app', '--timeout=60s')
  const port = await cluster.forward({ namespace, service: 'redis', port: 6379 })
  const redis = openClient(`redis://127.0.0.1:${port}`)
  const input = JSON.stringify({
    image: imageValues(jobs.name),
    redis: { url: 'redis://redis:6379' },
    workerDefaults: {
      volumes: [{ name: 'notes', persistentVolumeClaim: { claimName: 'notes' } }],
      volumeMounts: [{ name: 'notes', mountPath: '/notes' }],
    },
    ...values,
  })
  const helm = async (...args: readonly string[]): Promise<string> => {
    const where = ['--namespace', namespace]
    const { code, stdout, stderr } = await cluster.run('helm', [...args, ...where], { timeoutMs: 150_000, input })
    if (code !== 0) throw new Error(`helm ${args.join(' ')}: ${stdout}${stderr}`)
    return stdout
  }
  const lists = async (keys: readonly string[]): Promise<string> =>
    (await Promise.all(keys.map((key) => redis.lrange(key, 0, -1)))).flat().join('\n')
  const release: Release = {
    namespace,
    install: () => helm('install', 'rq', CHART, '--values', '-', '--wait', '--timeout', '120s'),
    look: looker({ cluster, namespace }),
    redis,
    get notes() {
      return readNotes(join(folder, 'notes'))
    },
    helm,
    k,
    async inApplication(script) {
      const node = ['node', '--input-type=module', '-']
      const args = ['-n', namespace, 'exec', '-i', 'app', '--', ...node]
      const { code, stdout, stderr } = await cluster.run('kubectl', args, { input: script })
      if (code !== 0) throw new Error(`In the application: ${stderr}`)
      return stdout
    },
    async push(queue, ...raws) {
      await redis.sadd(`${NS}:queues`, queue)
      await redis.rpush(`${NS}:queue:${queue}`, ...raws)
    },
    ended: async (keys, timeoutMs = PATIENCE_MS) => {
      const missing = (): string[] =>
        [...countOf(release.notes, 'end', keys)].filter(([, count]) => count === 0).map(([key]) => key)
      await waitFor(() => missing().length === 0, {
        timeoutMs,
        everyMs: 100,
        describe: async () => [`the end of ${missing().join(' ')}`, await release.places(), await k('get', 'pods')],
      })
    },
    open: (gate) => writeFileSync(join(folder, gate), ''),
    pods: async (component) =>
      (
        await cluster.api.get<{ items: Pod[] }>(
          `/api/v1/namespaces/${namespace}/pods?labelSelector=app.kubernetes.io/component%3D${component}`,
        )
      ).items,
    async places() {
      const queues = (await redis.smembers(`${NS}:queues`)).map((queue) => `${NS}:queue:${queue}`)
      const processes = await redis.hkeys(`${NS}:ext:processes`)
      const held = await Promise.all(processes.map((nonce) => redis.hvals(`${NS}:ext:inflight:${nonce}`)))
      return {
        waiting: await lists(queues),
        held: held.flat().join('\n'),
        failed: await lists([`${NS}:failed`]),
        retried: (await redis.zrange(`${NS}:ext:retry`, '0', '-1')).join('\n'),
        quarantined: await lists([`${NS}:ext:quarantine`]),
      }
    },
  }
  return release
}
