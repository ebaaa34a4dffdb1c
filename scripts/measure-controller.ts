import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { newNonce, register, type Registration } from '../src/queue/registry.ts'
import { turn } from '../src/queue/turn.ts'
import { openStore } from '../src/redis/store.ts'
import { startRedis } from '../test/support/redis.ts'
import { closeScope } from '../test/support/scope.ts'
import { waitFor } from '../test/support/wait.ts'
import { applyCrd, pool, scalerManifest, startController } from '../test/cluster/scaling.ts'
import { startControlPlane } from '../test/cluster/support/controlplane.ts'

// What a controller costs: requests to the API server, CPU and memory, with many scalers and pods that pretend.
//
//   node scripts/measure-controller.ts [scalers 200] [pods of each 50] [seconds 120]

const [scalers, podsEach, seconds] = [200, 50, 120].map((fallback, i) => Number(process.argv[2 + i] ?? fallback)) as [
  number,
  number,
  number,
]
const say = (text: string): void => void process.stdout.write(`${text}\n`)
const NS = 'measure'

interface Pods {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly uid: string; readonly labels: { readonly app: string } }
  }[]
}

async function main(): Promise<void> {
  const redis = await startRedis()
  const plane = await startControlPlane({ nodes: 10, podsPerNode: Math.ceil((scalers * podsEach) / 10) + 50 })
  const namespace = await plane.namespace()
  await applyCrd(plane)
  for (let i = 0; i < scalers; i++) {
    const spec = {
      scaleTargetRef: { name: `w${i}` },
      queues: [`q${i}`],
      minReplicas: podsEach,
      maxReplicas: 2 * podsEach,
    }
    await plane.apply([pool({ name: `w${i}`, replicas: podsEach }), scalerManifest(`s${i}`, spec)], { namespace })
  }
  const list = (): Promise<Pods> => plane.api.get<Pods>(`/api/v1/namespaces/${namespace}/pods`)
  await waitFor(async () => (await list()).items.length >= scalers * podsEach, { timeoutMs: 1_200_000, everyMs: 5000 })
  say(`${scalers} scalers, ${scalers * podsEach} pods`)

  const store = openStore({ url: redis.url, namespace: NS })
  await store.command('ping', [])
  const patience = { deadlineMs: 60_000 }
  const members: Registration[] = []
  for (const { metadata } of (await list()).items) {
    const nonce = newNonce()
    const queue = metadata.labels.app.replace('w', 'q')
    const who = { instance: '', host: metadata.name, pid: 1, pid_namespace: '', boot_id: '', pod: metadata.name }
    members.push({
      ...who,
      nonce,
      name: `${metadata.name}.${nonce}`,
      tail: `:1:${queue}`,
      slots: 4,
      pod_namespace: namespace,
      pod_uid: metadata.uid,
      container: 'worker',
      started: Date.now(),
      version: '0',
      isolation: 'fork',
      lease_ms: 3_600_000,
    })
  }
  for (let at = 0; at < members.length; at += 500)
    await Promise.all(members.slice(at, at + 500).map((one) => register(store, one, patience)))
  // Every fourth worker runs a job.
  for (const one of members.filter((_, i) => i % 4 === 0)) {
    const queue = one.tail.slice(3)
    await store.command('rpush', [store.keys.queue(queue), '{"class":"A","args":[]}'])
    await turn(
      store,
      one,
      {
        ends: [],
        next: 0,
        idle: [0],
        base: 1,
        queues: [queue],
        wokenBy: '',
        ring: true,
        drainMark: '',
        maxRecoveries: 3,
      },
      patience,
    )
  }

  const controller = await startController({ cluster: plane, namespace, redisUrl: redis.url, ns: NS }, { inPod: true })
  await controller.says('leading', 60_000)
  const metric = async (name: string): Promise<number> => (await controller.metric(name)) ?? 0
  const cpuOf = (pid: number): number => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/\(.*\)/, 'x')
      .split(' ')
      .map(Number)
    const [user = 0, system = 0] = fields.slice(13, 15)
    return (user + system) / 100
  }
  const anonymous = (): number =>
    Number(/^Anonymous:\s+(\d+)/m.exec(readFileSync(`/proc/${controller.process.pid}/smaps_rollup`, 'utf8'))?.[1]) /
    1024
  await waitFor(async () => (await metric('resqueue_reconcile_duration_seconds_count')) > 2 * scalers, {
    timeoutMs: 300_000,
  })
  await delay(30_000)
  const sample = async () => ({
    at: performance.now(),
    requests: await metric('resqueue_kube_requests_total'),
    turns: await metric('resqueue_reconcile_duration_seconds_count'),
    spent: await metric('resqueue_reconcile_duration_seconds_sum'),
    redisCalls: await metric('resqueue_redis_commands_total'),
    cpu: cpuOf(controller.process.pid),
    redisCpu: cpuOf(redis.pid),
  })
  const before = await sample()
  await delay(seconds * 1000)
  const after = await sample()
  const minutes = (after.at - before.at) / 60_000
  const rate = (name: 'requests' | 'turns' | 'redisCalls'): string =>
    ((after[name] - before[name]) / minutes).toFixed(0)
  const share = (name: 'cpu' | 'redisCpu'): string => (((after[name] - before[name]) / (minutes * 60)) * 100).toFixed(1)
  say(`API requests a minute   ${rate('requests')}`)
  say(
    `turns a minute          ${rate('turns')}, ${(((after.spent - before.spent) / (after.turns - before.turns)) * 1000).toFixed(1)} ms each`,
  )
  say(`Redis calls a minute    ${rate('redisCalls')}`)
  say(`CPU of the controller   ${share('cpu')} % of a core`)
  say(`CPU of Redis            ${share('redisCpu')} % of a core`)
  say(
    `anonymous memory        ${anonymous().toFixed(0)} MiB; resident ${((await metric('process_resident_memory_bytes')) / 1048576).toFixed(0)} MiB`,
  )
  const heap = await Promise.all(
    ['heap_size_used', 'heap_size_total', 'external_memory'].map((name) => metric(`nodejs_${name}_bytes`)),
  )
  say(`V8 heap used, total, external  ${heap.map((n) => (n / 1048576).toFixed(0)).join(', ')} MiB`)
  store.close()
}

await main().finally(closeScope)
process.exit()
