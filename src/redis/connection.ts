import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { checkServerIdentity, createSecureContext, type ConnectionOptions } from 'node:tls'
import { Cluster, Redis } from 'ioredis'
import { defined } from '../defined.ts'
import { messageOf, ResQueueError } from '../errors.ts'
import { parseEndpoint, readPassword, readSentinelPassword, type HostPort, type RedisConfig } from './url.ts'

/** ioredis behind its one door: a single primary (Sentinel included) or a cluster. */
export type Connection = Redis | Cluster

/**
 * What a connection is for. `command` connections run scripts and give a dead socket up after five seconds without an
 * answer; `blocking` ones wait on tokens and may stay silent for twice as long.
 */
export type Role = 'command' | 'blocking'

/** After so long without an answer a command connection takes its socket for dead. Milliseconds. */
const SOCKET_TIMEOUT_MS = 5000

/**
 * Opens a connection that never sends anything by itself a second time: a command that was not answered rejects, and
 * the store decides what to do. Nothing is queued while Redis is away, because a queued command may run long after its
 * caller gave up. docs/protocol.md, "Connections".
 */
export function connect(config: RedisConfig, role: Role, name: string): Connection {
  const endpoint = parseEndpoint(config)
  const password = readPassword(config, endpoint)
  const options = {
    lazyConnect: true,
    connectionName: name,
    db: endpoint.db,
    protocol: 2 as const,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    disableClientInfo: true,
    connectTimeout: SOCKET_TIMEOUT_MS,
    retryStrategy: (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 5), 1000),
    socketTimeout: role === 'command' ? SOCKET_TIMEOUT_MS : 2 * SOCKET_TIMEOUT_MS,
    ...(endpoint.username ? { username: endpoint.username } : {}),
    ...(password ? { password } : {}),
    ...(endpoint.tls || config.tls ? { tls: readTls(config) } : {}),
  }
  const rotated = (): string | undefined => unlessUnread(() => readPassword(config, endpoint))
  const rotatedForSentinels = (): string | undefined =>
    unlessUnread(() => readSentinelPassword(config) ?? readPassword(config, endpoint))
  const rotatedTls = (): object | undefined => unlessUnread(() => readTls(config))
  const secretsInFiles =
    config.passwordFile !== undefined || config.sentinel?.passwordFile !== undefined || config.tls !== undefined
  /** Every new connection reads the files again: a rotated secret or certificate needs no restart. */
  const fresh = (redis: Redis): Redis => {
    withoutWarning(redis)
    const renew = (): void => {
      const { options } = redis
      options.password = rotated() ?? options.password
      if (options.sentinelPassword) options.sentinelPassword = rotatedForSentinels() ?? options.sentinelPassword
      // Sentinels, and the nodes of a cluster, share one object.
      if (options.tls) Object.assign(options.tls, rotatedTls())
    }
    if (secretsInFiles) {
      renew() // the node of a cluster is made with what was read when the cluster was opened
      redis.on('close', renew)
    }
    return redis
  }
  switch (endpoint.kind) {
    case 'single': {
      const { host, port } = endpoint
      // What serves several names at one address chooses by this one; addresses are not told.
      const tls = options.tls && isIP(host) === 0 ? { tls: { ...options.tls, servername: host } } : {}
      return fresh(new Redis({ ...options, ...tls, host, port }))
    }
    case 'socket':
      return fresh(new Redis({ ...options, path: endpoint.path }))
    case 'sentinel': {
      const sentinelPassword = readSentinelPassword(config)
      const redis = new Redis({
        ...options,
        sentinels: endpoint.sentinels.map((s) => ({ ...s })),
        name: endpoint.name,
        ...defined({ sentinelUsername: config.sentinel?.username, sentinelPassword }),
        // ioredis takes `tls` for neither the Sentinels nor what they name: without these it would send the password in
        // clear.
        ...(options.tls ? { enableTLSForSentinelMode: true, sentinelTLS: options.tls } : {}),
        sentinelRetryStrategy: (attempt: number) => Math.min(100 * attempt, 1000),
      })
      // Sentinels are told Redis' password when they ask for one: those without would have ioredis warn on stderr each
      // time.
      redis.on('sentinelError', (error: Error) => {
        const now = SENTINEL_ASKS.test(error.message)
          ? (rotatedForSentinels() ?? sentinelPassword ?? password)
          : undefined
        if (now !== undefined) redis.options.sentinelPassword = now
      })
      return fresh(redis)
    }
    case 'cluster': {
      const cluster = new Cluster(
        endpoint.nodes.map((n) => ({ ...n })),
        {
          redisOptions: options.tls
            ? { ...options, tls: { ...options.tls, checkServerIdentity: identityOf(endpoint.nodes) } }
            : options,
          // ioredis would connect to the addresses of hosts; certificates hold their names.
          ...(options.tls ? { dnsLookup: (host, told) => told(null, host) } : {}),
          lazyConnect: true,
          enableOfflineQueue: false,
          clusterRetryStrategy: (attempt: number) => Math.min(100 * attempt, 1000),
        },
      )
      cluster.on('+node', fresh)
      return cluster
    }
  }
}

/** A password that Redis does not ask for is no error, and ioredis would write a line of its own to stderr. */
function withoutWarning(redis: Redis): void {
  const { auth } = redis
  Object.assign(redis, {
    auth: async (...words: Parameters<typeof auth>) => {
      try {
        return await auth.apply(redis, words)
      } catch (error) {
        if (ASKS_FOR_NONE.test((error as Error).message)) return 'OK'
        throw error
      }
    },
  })
}

/** What Redis says to a password where its default user has none. */
const ASKS_FOR_NONE = /without any password configured for the default user/

/**
 * What stands in files, or undefined where they cannot be read or do not go together at this instant: what is in hand
 * may still be right, and the next reconnection reads again.
 */
function unlessUnread<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

/** What a Sentinel says that wants a password, or another one. */
const SENTINEL_ASKS = /\b(NOAUTH|WRONGPASS)\b/

/**
 * Checks the certificates of cluster nodes. A cluster gives the addresses of its nodes, unless it was told to give
 * names; a node's certificate that does not hold its address may hold a name of the URL instead.
 */
function identityOf(nodes: readonly HostPort[]): ConnectionOptions['checkServerIdentity'] {
  const names = nodes.map(({ host }) => host).filter((host) => isIP(host) === 0)
  return (host, certificate) => {
    const mismatch = checkServerIdentity(host, certificate)
    if (!mismatch || isIP(host) === 0) return mismatch
    return names.some((name) => !checkServerIdentity(name, certificate)) ? undefined : mismatch
  }
}

/** How each file of TLS is told from others: OpenSSL would take any file for a list of no authorities. */
const CHECKS = {
  ca: (pem: string) => new X509Certificate(pem),
  cert: (pem: string) => new X509Certificate(pem),
  key: (pem: string) => createPrivateKey(pem),
}

function readTls(config: RedisConfig): Record<string, string> {
  const read = (['ca', 'cert', 'key'] as const).flatMap((part) => {
    const file = config.tls?.[part]
    return file ? [[part, readPart(part, file)] as const] : []
  })
  const parts = Object.fromEntries(read)
  try {
    createSecureContext(parts)
  } catch (error) {
    const why = `The files of --redis-cert and --redis-key (tls.cert and tls.key, REDIS_TLS_CERT and REDIS_TLS_KEY) do not go together: ${messageOf(error)}`
    throw new ResQueueError('CONFIG', why, { cause: error })
  }
  return parts
}

function readPart(part: keyof typeof CHECKS, file: string): string {
  const which = `tls.${part}, --redis-${part} or REDIS_TLS_${part.toUpperCase()}`
  const useless = (why: string, cause: unknown): ResQueueError =>
    new ResQueueError('CONFIG', `The file of ${which} ${why}: ${messageOf(cause)}`, { cause })
  let pem: string
  try {
    pem = readFileSync(file, 'utf8')
  } catch (error) {
    throw useless('cannot be read', error)
  }
  try {
    CHECKS[part](pem)
  } catch (error) {
    throw useless(`holds no ${part === 'key' ? 'private key' : 'certificate'} in PEM (${file})`, error)
  }
  return pem
}
