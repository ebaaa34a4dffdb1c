import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { freePort } from './ports.ts'
import { REDIS_SERVER, startRedis, type RedisServer } from './redis.ts'
import { own } from './scope.ts'
import { tlsArgs, type TlsRedis } from './tls.ts'
import { waitFor } from './wait.ts'

/** A primary, its replicas and the Sentinels that watch them. All are killed with the test at the latest. */
export interface SentinelSetup {
  /** `redis-sentinel://…/mymaster` */
  readonly url: string
  readonly name: string
  /** All data servers, the first primary first. */
  readonly servers: readonly RedisServer[]
  readonly sentinels: readonly RedisServer[]
  /** The server that the Sentinels call primary now. */
  primary(): Promise<RedisServer>
  /** Asks a Sentinel for a failover, and resolves when another server is primary and takes writes. */
  failover(): Promise<RedisServer>
  /** Resolves with the new primary once one other than `old` takes writes; for after a kill. */
  successor(old: RedisServer): Promise<RedisServer>
}

export async function startSentinel(
  options: { replicas?: number; sentinels?: number; name?: string } = {},
): Promise<SentinelSetup> {
  const { replicas = 1, sentinels: count = 1, name = 'mymaster' } = options
  const args = ['--repl-diskless-sync-delay', '0']
  const first = await startRedis({ args })
  const others = await Promise.all(
    Array.from({ length: replicas }, () =>
      startRedis({ args: [...args, '--replicaof', '127.0.0.1', `${first.port}`] }),
    ),
  )
  const servers = [first, ...others]
  for (const server of others) await waitUntilLinked(server)
  const quorum = Math.floor(count / 2) + 1
  const sentinels = await Promise.all(Array.from({ length: count }, () => startOne(first.port, name, quorum)))
  const ask = new Redis({ port: sentinels[0]?.port ?? 0, protocol: 2, disableClientInfo: true })
  ask.on('error', () => undefined)
  own('sentinel client', () => ask.disconnect())
  const field = async (what: string): Promise<number> => {
    const flat = (await ask.call('sentinel', 'master', name)) as string[]
    return Number(flat[flat.indexOf(what) + 1])
  }
  await waitFor(
    async () => (await field('num-slaves')) === replicas && (await field('num-other-sentinels')) === count - 1,
    {
      describe: 'the Sentinels to find the replicas and each other',
    },
  )
  const primary = async (): Promise<RedisServer> => {
    const [, port] = (await ask.call('sentinel', 'get-master-addr-by-name', name)) as string[]
    const found = servers.find((server) => server.port === Number(port))
    if (!found) throw new Error(`The Sentinels name an unknown primary on port ${port}`)
    return found
  }
  const successor = (old: RedisServer): Promise<RedisServer> =>
    waitFor(
      async () => {
        const now = await primary()
        return now !== old && (await roleOf(now)) === 'master' && now
      },
      { everyMs: 100, describe: 'a new primary' },
    )
  return {
    url: `redis-sentinel://${sentinels.map((s) => `127.0.0.1:${s.port}`).join(',')}/${name}`,
    name,
    servers,
    sentinels,
    primary,
    successor,
    async failover() {
      const old = await primary()
      // Refused with INPROG or NOGOODSLAVE until the Sentinels know the replicas well enough.
      await waitFor(() => ask.call('sentinel', 'failover', name), {
        everyMs: 200,
        describe: 'the failover to begin',
      })
      return successor(old)
    },
  }
}

/**
 * A Sentinel that speaks TLS only and watches such a primary, whose certificate it shows as well. Resolves with its
 * port.
 */
export async function startTlsSentinel(primary: TlsRedis, name = 'mymaster'): Promise<number> {
  return (await startOne(primary.server.port, name, 1, (port) => tlsArgs(port, primary))).port
}

/** A Sentinel that watches a primary which may want a password, and asks for one itself where `own` is given. */
export function startGuardedSentinel(
  primary: RedisServer,
  { own: password, primary: primaryPassword }: { readonly own?: string; readonly primary: string },
): Promise<RedisServer> {
  return startOne(primary.port, 'mymaster', 1, undefined, [
    `sentinel auth-pass mymaster ${primaryPassword}`,
    ...(password === undefined ? [] : [`requirepass ${password}`]),
  ])
}

async function startOne(
  primaryPort: number,
  name: string,
  quorum: number,
  argsOf: (port: number) => readonly string[] = () => [],
  lines: readonly string[] = [],
): Promise<RedisServer> {
  const dir = await mkdtemp(join(tmpdir(), 'resqueue-sentinel-'))
  own('sentinel folder', () => rm(dir, { recursive: true, force: true }))
  const port = await freePort()
  const file = join(dir, 'sentinel.conf')
  await writeFile(
    file,
    [
      `sentinel monitor ${name} 127.0.0.1 ${primaryPort} ${quorum}`,
      `sentinel down-after-milliseconds ${name} 1000`,
      `sentinel failover-timeout ${name} 5000`,
      ...lines,
      '',
    ].join('\n'),
  )
  return startRedis({ port, dir, command: [REDIS_SERVER, file, '--sentinel'], args: argsOf(port) })
}

async function waitUntilLinked(server: RedisServer): Promise<void> {
  const client = server.client()
  await waitFor(async () => (await client.info('replication')).includes('master_link_status:up'), {
    describe: 'replication',
  })
}

async function roleOf(server: RedisServer): Promise<string> {
  const client = new Redis({ port: server.port, protocol: 2, disableClientInfo: true, retryStrategy: () => null })
  client.on('error', () => undefined)
  try {
    return /role:(\w+)/.exec(await client.info('replication'))?.[1] ?? ''
  } finally {
    client.disconnect()
  }
}
