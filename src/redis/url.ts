import { readFileSync } from 'node:fs'
import { defined } from '../defined.ts'
import { ResQueueError, messageOf } from '../errors.ts'
import { hasHashTag } from './keys.ts'

/** Where Redis is and how to reach it. Everything but `url` and `namespace` is optional. */
export interface RedisConfig {
  /**
   * `redis://[user:password@]host[:6379][/db]` (`user@` where the password is given elsewhere), `rediss://` for TLS,
   * `unix:///path`, `host[:port]` (the family's REDIS_BACKEND), `redis-sentinel://h1:26379,h2:26379/mymaster[/db]` or
   * `redis-cluster://h1:6379,h2:6379`. `?db=3` does for `/3`, as a socket's URL needs; other parameters are left alone.
   */
  readonly url: string
  readonly namespace: string
  readonly db?: number
  readonly password?: string
  /** A file that holds the password, re-read at every connection so that a rotated secret is picked up. */
  readonly passwordFile?: string
  /**
   * For the Sentinels of a redis-sentinel:// URL. Without a password here they are given that of Redis, if they ask for
   * one. The file is re-read as `passwordFile` is.
   */
  readonly sentinel?: { readonly username?: string; readonly password?: string; readonly passwordFile?: string }
  /** Files in PEM, re-read as `passwordFile` is. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
}

interface Common {
  readonly username?: string
  readonly password?: string
  readonly tls: boolean
  readonly db: number
}

/** A RedisConfig's URL taken apart. */
export type Endpoint =
  | ({ readonly kind: 'single'; readonly host: string; readonly port: number } & Common)
  | ({ readonly kind: 'socket'; readonly path: string } & Common)
  | ({ readonly kind: 'sentinel'; readonly sentinels: readonly HostPort[]; readonly name: string } & Common)
  | ({ readonly kind: 'cluster'; readonly nodes: readonly HostPort[] } & Common)

export interface HostPort {
  readonly host: string
  readonly port: number
}

const DEFAULT_PORT = { redis: 6379, sentinel: 26379 }

/** Takes a Redis URL apart. Throws `USAGE` with the offending text (never with a password in it). */
export function parseEndpoint(config: RedisConfig): Endpoint {
  const text = config.url.includes('://') ? config.url : `redis://${config.url}`
  // Up to the last @, because passwords are often pasted as they are.
  const match = /^([a-z-]+):\/\/(?:(?!\/)(.*)@)?([^@/?]*)(\/[^?]*)?(?:\?(.*))?$/is.exec(text)
  if (!match) throw bad(config.url, 'it is not a URL')
  const [, rawScheme = '', credentials, hosts = '', path = '', query] = match
  const scheme = rawScheme.toLowerCase()
  const decode = (part: string): string => {
    try {
      return decodeURIComponent(part)
    } catch {
      throw bad(config.url, 'a % in it must be written as %25')
    }
  }
  const [named, secret] = splitCredentials(credentials).map((part) => part && decode(part))
  // A password that stands elsewhere leaves only a user for what has no colon.
  const isUser = (config.password ?? config.passwordFile) !== undefined && credentials?.includes(':') === false
  const user = isUser ? secret : named
  const password = config.password ?? secret
  const segments = path
    .split('/')
    .filter((s) => s !== '')
    .map(decode)
  const common = (dbText: string | undefined): Common => ({
    tls: scheme.startsWith('rediss'),
    db: parseDb(String(config.db ?? dbText ?? new URLSearchParams(query).get('db') ?? 0), config.url),
    ...(user ? { username: user } : {}),
    ...(password ? { password } : {}),
  })
  switch (scheme) {
    case 'redis':
    case 'rediss':
    case 'tcp': {
      const [first] = parseHosts(hosts === '' ? 'localhost' : hosts, DEFAULT_PORT.redis, config.url)
      return { kind: 'single', ...(first as HostPort), ...common(segments[0]) }
    }
    case 'unix':
      if (hosts !== '' || path === '')
        throw bad(config.url, 'a socket is named by its whole path: unix:///run/redis.sock')
      return { kind: 'socket', path, ...common(undefined) }
    case 'redis-sentinel':
    case 'rediss-sentinel': {
      const [name, dbText] = segments
      if (!name) throw bad(config.url, 'a Sentinel URL names its primary: redis-sentinel://host:26379/mymaster')
      return {
        kind: 'sentinel',
        sentinels: parseHosts(hosts, DEFAULT_PORT.sentinel, config.url),
        name,
        ...common(dbText),
      }
    }
    case 'redis-cluster':
    case 'rediss-cluster': {
      if (!hasHashTag(config.namespace)) {
        throw new ResQueueError(
          'USAGE',
          `Redis Cluster needs a namespace with a hash tag, so that all keys share one slot: --namespace '{${config.namespace || 'resque'}}'.`,
        )
      }
      return { kind: 'cluster', nodes: parseHosts(hosts, DEFAULT_PORT.redis, config.url), ...common(undefined) }
    }
    default:
      throw bad(
        config.url,
        `the scheme "${scheme}" is unknown; use redis, rediss, unix, redis-sentinel or redis-cluster`,
      )
  }
}

/** The password for the next connection: the file's content, without its last newline, where a file is configured. */
export function readPassword(config: RedisConfig, endpoint: Endpoint): string | undefined {
  return config.passwordFile === undefined ? endpoint.password : readSecret('Redis', config.passwordFile)
}

/** The same for the Sentinels; undefined where they have none of their own. */
export function readSentinelPassword({ sentinel }: RedisConfig): string | undefined {
  return sentinel?.passwordFile === undefined ? sentinel?.password : readSecret('Sentinel', sentinel.passwordFile)
}

function readSecret(whose: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    throw new ResQueueError('CONFIG', `The ${whose} password file ${file} cannot be read: ${messageOf(error)}`)
  }
}

/** The field `sentinel` of a RedisConfig, of what is known of it; no field where nothing is. */
export function sentinelConfig(
  username: string | undefined,
  password: string | undefined,
  passwordFile: string | undefined,
): Pick<RedisConfig, 'sentinel'> {
  const sentinel = defined({ username, password, passwordFile })
  return Object.keys(sentinel).length > 0 ? { sentinel } : {}
}

/** The URL as it may be shown: without its password. */
export function redactUrl(url: string): string {
  return url.replace(
    /^(?:([a-z-]+:\/\/)|(?![a-z-]+:\/\/))(?!\/)(.*)@/is,
    (_, scheme: string | undefined, credentials: string) => {
      const [user, secret] = splitCredentials(credentials)
      return `${scheme ?? ''}${user !== undefined && secret !== undefined ? `${user}:` : ''}***@`
    },
  )
}

/** Still as they stand in the URL. What has no colon is a password. */
function splitCredentials(text: string | undefined): [user: string | undefined, secret: string | undefined] {
  const [, user, secret] = /^(?:([^:]*):)?(.*)$/s.exec(text ?? '') ?? []
  return [user || undefined, secret || undefined]
}

function parseHosts(text: string, defaultPort: number, url: string): HostPort[] {
  return text.split(',').map((part): HostPort => {
    const match = /^(?:\[([0-9a-f:]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/i.exec(part.trim())
    if (!match) throw bad(url, `"${part}" is not host:port`)
    const port = match[3] === undefined ? defaultPort : Number(match[3])
    if (port < 1 || port > 65535) throw bad(url, `port ${port} does not exist`)
    return { host: (match[1] ?? match[2]) as string, port }
  })
}

function parseDb(text: string, url: string): number {
  if (!/^\d+$/.test(text)) throw bad(url, `"${text}" is not a database number`)
  return Number(text)
}

function bad(url: string, why: string): ResQueueError {
  return new ResQueueError('USAGE', `The Redis URL ${redactUrl(url)} cannot be used: ${why}.`)
}
