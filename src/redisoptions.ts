import { text, type Option, type OptionGroup } from './option.ts'
import { integer, words } from './values.ts'

export const redisUrl: Option<string> = {
  flag: 'redis',
  env: [{ name: 'REDIS_URL' }, { name: 'REDIS_BACKEND' }],
  value: 'URL',
  fallback: 'redis://127.0.0.1:6379',
  shown: 'redis://127.0.0.1:6379',
  about:
    'redis://[user:password@]host[:port][/db], rediss:// with TLS, unix:///path, host:port, redis-sentinel://h1,h2/name or redis-cluster://h1,h2.',
  read: words,
}

export const namespace: Option<string> = {
  flag: 'namespace',
  env: [{ name: 'PREFIX' }],
  value: 'NAME',
  fallback: 'resque',
  shown: 'resque',
  about: "Prefix of all keys in Redis. On a Redis Cluster it needs a hash tag: '{resque}'.",
  read: (text) => text,
}

export const redisDb: Option<number | undefined> = {
  flag: 'redis-db',
  env: [{ name: 'REDIS_BACKEND_DB' }],
  value: 'N',
  fallback: undefined,
  about: 'Database number; overrides the one in the URL.',
  read: integer({ min: 0, max: 1_000_000 }),
}

export const redisPassword: Option<string | undefined> = {
  flag: '',
  env: [{ name: 'REDIS_PASSWORD' }],
  fallback: undefined,
  about: 'Password for Redis. There is no option for it, because other users of a machine can read command lines.',
  read: words,
}

export const redisPasswordFile: Option<string | undefined> = text(
  'redis-password-file',
  'FILE',
  'File with the password, read again at every connection, so that a rotated secret is picked up.',
  'REDIS_PASSWORD_FILE',
)

export const redisSentinelUsername: Option<string | undefined> = text(
  'redis-sentinel-username',
  'NAME',
  'User name for the Sentinels of a redis-sentinel:// URL.',
  'REDIS_SENTINEL_USERNAME',
)

export const redisSentinelPassword: Option<string | undefined> = {
  flag: '',
  env: [{ name: 'REDIS_SENTINEL_PASSWORD' }],
  fallback: undefined,
  about: 'Password for the Sentinels. Without it they get that of Redis, if they require one.',
  read: words,
}

export const redisSentinelPasswordFile: Option<string | undefined> = text(
  'redis-sentinel-password-file',
  'FILE',
  'File with the password for the Sentinels, read again at every connection.',
  'REDIS_SENTINEL_PASSWORD_FILE',
)

export const redisCa: Option<string | undefined> = text(
  'redis-ca',
  'FILE',
  'Certificates (PEM) to trust for TLS; turns TLS on.',
  'REDIS_TLS_CA',
)

export const redisCert: Option<string | undefined> = text(
  'redis-cert',
  'FILE',
  "The client's own certificate (PEM), with --redis-key.",
  'REDIS_TLS_CERT',
)

export const redisKey: Option<string | undefined> = text(
  'redis-key',
  'FILE',
  "Key (PEM) of the client's certificate.",
  'REDIS_TLS_KEY',
)

/** Where Redis is. */
export const redisGroup: OptionGroup = {
  title: 'Redis',
  options: [
    redisUrl,
    namespace,
    redisDb,
    redisPassword,
    redisPasswordFile,
    redisSentinelUsername,
    redisSentinelPassword,
    redisSentinelPasswordFile,
    redisCa,
    redisCert,
    redisKey,
  ],
}
