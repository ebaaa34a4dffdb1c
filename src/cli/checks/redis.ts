import { hasHashTag } from '../../redis/keys.ts'
import type { Store } from '../../redis/store.ts'
import { count } from '../../wording.ts'
import { bytes } from '../text.ts'
import type { Check, Finding, Patient } from './finding.ts'

/** Sections of INFO that are looked at. */
type Info = ReadonlyMap<string, string>

const SKEW_MS = 2000

async function server({ store, config }: Patient): Promise<readonly Finding[]> {
  const info = await readInfo(store)
  return [
    ...version(info),
    ...eviction(info),
    ...memory(info),
    ...clients(info),
    ...cluster(info, config.namespace),
    ...replication(info),
    ...(await persistence(store, info)),
  ]
}

async function clock({ store }: Patient): Promise<readonly Finding[]> {
  let skew = Infinity
  // The quickest of three answers says most about the clock and least about the network.
  for (let round = 0, quickest = Infinity; round < 3; round++) {
    const sent = Date.now()
    const [seconds, micros] = (await store.command('time', [])) as [string, string]
    const took = Date.now() - sent
    if (took > quickest) continue
    quickest = took
    skew = Number(seconds) * 1000 + Number(micros) / 1000 - (sent + took / 2)
  }
  if (Math.abs(skew) < SKEW_MS) return []
  return [
    {
      id: 'clock-skew',
      level: 'warning',
      finding: `The clock of Redis is ${Math.abs(Math.round(skew / 100) / 10)} s ${skew > 0 ? 'ahead of' : 'behind'} the clock of this machine`,
      advice: 'Synchronise both (NTP). Waiting times and delayed jobs are off by that much; leases are not affected.',
    },
  ]
}

function version(info: Info): readonly Finding[] {
  const found = info.get('redis_version') ?? ''
  const [major = 0, minor = 0] = found.split('.').map(Number)
  if (major > 6 || (major === 6 && minor >= 2)) return []
  return [
    { id: 'redis-version', level: 'error', finding: `This is Redis ${found}`, advice: 'Redis 6.2 or newer is needed.' },
  ]
}

function eviction(info: Info): readonly Finding[] {
  const policy = info.get('maxmemory_policy')
  if (policy === undefined || policy === 'noeviction') return []
  return [
    {
      id: 'eviction-policy',
      level: 'error',
      finding: `maxmemory-policy is ${policy}: when Redis is full it throws queues away`,
      advice: 'CONFIG SET maxmemory-policy noeviction, and in redis.conf.',
    },
  ]
}

function memory(info: Info): readonly Finding[] {
  const [used, most] = [number(info, 'used_memory'), number(info, 'maxmemory')]
  const share = most > 0 ? used / most : 0
  if (share < 0.8) return []
  return [
    {
      id: 'memory-headroom',
      level: share < 0.95 ? 'warning' : 'error',
      finding: `${Math.round(share * 100)} % of maxmemory is used (${bytes(used)} of ${bytes(most)})`,
      advice:
        'Raise maxmemory or remove what is not needed (resqueue stats, failed rm). When it is reached nothing can be enqueued.',
    },
  ]
}

function clients(info: Info): readonly Finding[] {
  const [used, most] = [number(info, 'connected_clients'), number(info, 'maxclients')]
  if (most === 0 || used / most < 0.8) return []
  return [
    {
      id: 'max-clients',
      level: 'warning',
      finding: `${count(used)} of at most ${count(most)} clients are connected`,
      advice: 'Raise maxclients. A worker process holds two connections, whatever its concurrency.',
    },
  ]
}

function cluster(info: Info, namespace: string): readonly Finding[] {
  if (info.get('cluster_enabled') !== '1' || hasHashTag(namespace)) return []
  return [
    {
      id: 'cluster-namespace',
      level: 'error',
      finding: `This is a Redis Cluster and the namespace "${namespace}" has no hash tag`,
      advice: `Use a redis-cluster:// URL and --namespace '{${namespace || 'resque'}}', so that all keys share one slot.`,
    },
  ]
}

function replication(info: Info): readonly Finding[] {
  if (info.get('role') === 'slave') {
    return [
      {
        id: 'replica',
        level: 'error',
        finding: 'This is a read-only replica',
        advice: 'Name the primary, or use a redis-sentinel:// URL.',
      },
    ]
  }
  const findings: Finding[] = []
  const offset = number(info, 'master_repl_offset')
  for (const [name, value] of info) {
    if (!/^slave\d+$/.test(name)) continue
    const fields = new Map(value.split(',').map((field) => field.split('=', 2) as [string, string]))
    const [lag, behind] = [Number(fields.get('lag') ?? 0), offset - Number(fields.get('offset') ?? offset)]
    if (lag <= 10 && behind < 16 * 1024 * 1024 && fields.get('state') === 'online') continue
    findings.push({
      id: 'replica-lag',
      level: 'warning',
      finding: `Replica ${fields.get('ip')}:${fields.get('port')} is ${fields.get('state')}, last heard of ${lag} s ago, ${bytes(behind)} behind`,
      advice: 'A failover to it loses what it has not got. Look at its load and its network.',
    })
  }
  return findings
}

async function persistence(store: Store, info: Info): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  const config = await readConfig(store, ['save', 'appendfsync', 'min-replicas-to-write'])
  const appends = info.get('aof_enabled') === '1'
  if (!appends && config.get('save') === '') {
    findings.push({
      id: 'persistence',
      level: 'error',
      finding: 'Nothing is saved to disk (no append-only file, no snapshots): a restart of Redis loses every job',
      advice: 'CONFIG SET appendonly yes, and in redis.conf; give Redis a volume.',
    })
  } else if (!appends) {
    findings.push({
      id: 'persistence',
      level: 'warning',
      finding: 'Only snapshots are saved: a crash of Redis loses what was enqueued since the last one',
      advice: 'CONFIG SET appendonly yes, and in redis.conf.',
    })
  } else if (config.get('appendfsync') === 'no') {
    findings.push({
      id: 'appendfsync',
      level: 'warning',
      finding: 'appendfsync is no: a power cut loses up to half a minute',
      advice: 'CONFIG SET appendfsync everysec.',
    })
  }
  for (const [field, what] of [
    ['rdb_last_bgsave_status', 'The last snapshot'],
    ['aof_last_write_status', 'The last write to the append-only file'],
  ] as const) {
    if ((info.get(field) ?? 'ok') === 'ok') continue
    findings.push({
      id: 'saving-fails',
      level: 'error',
      finding: `${what} failed`,
      advice: "Look at Redis' log and at its disk; Redis refuses writes until that is fixed.",
    })
  }
  if (number(info, 'connected_slaves') > 0 && config.get('min-replicas-to-write') === '0') {
    findings.push({
      id: 'min-replicas',
      level: 'note',
      finding: 'min-replicas-to-write is 0: a primary that is cut off goes on taking jobs, which a failover then loses',
      advice: 'CONFIG SET min-replicas-to-write 1, where jobs matter more than availability.',
    })
  }
  return findings
}

async function readInfo(store: Store): Promise<Info> {
  const text = (await store.command('info', [])) as string
  return new Map(
    text
      .split(/\r?\n/)
      .flatMap((line) =>
        line.includes(':') ? [[line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const] : [],
      ),
  )
}

/** Managed services forbid CONFIG: then nothing is known, and nothing found. */
async function readConfig(store: Store, names: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  const replies = await store.pipeline(names.map((name) => ['config', 'get', name]))
  for (const reply of replies) {
    if (Array.isArray(reply) && reply.length === 2) found.set(String(reply[0]), String(reply[1]))
  }
  return found
}

function number(info: Info, field: string): number {
  return Number(info.get(field) ?? 0) || 0
}

export const redisChecks: readonly Check[] = [
  { name: 'redis', run: server },
  { name: 'clock', run: clock },
]
