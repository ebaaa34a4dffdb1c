import {
  namespace,
  redisCa,
  redisCert,
  redisDb,
  redisKey,
  redisPassword,
  redisPasswordFile,
  redisUrl,
} from '../config.ts'
import { ResQueueError } from '../errors.ts'
import { parseEndpoint, type RedisConfig } from '../redis/url.ts'
import type { Settings } from './resolve.ts'

/** Where Redis is, from options and environment. Throws `USAGE` for what cannot work. */
export function redisConfig(settings: Settings): RedisConfig {
  const [db, password, passwordFile] = [
    settings.get(redisDb),
    settings.get(redisPassword),
    settings.get(redisPasswordFile),
  ]
  const [ca, cert, key] = [settings.get(redisCa), settings.get(redisCert), settings.get(redisKey)]
  if ((cert === undefined) !== (key === undefined))
    throw new ResQueueError('USAGE', '--redis-cert and --redis-key go together')
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
  const config: RedisConfig = {
    url: settings.get(redisUrl),
    namespace: settings.get(namespace),
    ...(db === undefined ? {} : { db }),
    ...(password === undefined ? {} : { password }),
    ...(passwordFile === undefined ? {} : { passwordFile }),
    ...(Object.keys(tls).length > 0 ? { tls } : {}),
  }
  parseEndpoint(config)
  return config
}
