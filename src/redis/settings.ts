import { defined } from '../defined.ts'
import { ResQueueError, messageOf } from '../errors.ts'
import { variableOf, type Option } from '../option.ts'
import {
  namespace,
  redisCa,
  redisCert,
  redisDb,
  redisKey,
  redisPassword,
  redisPasswordFile,
  redisSentinelPassword,
  redisSentinelPasswordFile,
  redisSentinelUsername,
  redisUrl,
} from '../redisoptions.ts'
import { sentinelConfig, type RedisConfig } from './url.ts'

/**
 * Where Redis is, from the options of `redisoptions.ts`. Throws `USAGE` for a certificate without its key. The URL is
 * not looked into.
 */
export function redisSettings(get: <T>(option: Option<T>) => T): RedisConfig {
  const [cert, key] = [get(redisCert), get(redisKey)]
  if ((cert === undefined) !== (key === undefined))
    throw new ResQueueError('USAGE', '--redis-cert and --redis-key (REDIS_TLS_CERT and REDIS_TLS_KEY) go together')
  const tls = defined({ ca: get(redisCa), cert, key })
  return {
    url: get(redisUrl),
    namespace: get(namespace),
    ...defined({ db: get(redisDb), password: get(redisPassword), passwordFile: get(redisPasswordFile) }),
    ...sentinelConfig(get(redisSentinelUsername), get(redisSentinelPassword), get(redisSentinelPasswordFile)),
    ...(Object.keys(tls).length > 0 ? { tls } : {}),
  }
}

/**
 * Where the environment alone says that Redis is, as a worker without Redis options takes it. Throws `USAGE`, which
 * names the variable.
 */
export function redisOfEnvironment(env: NodeJS.ProcessEnv): RedisConfig {
  return redisSettings((option) => {
    const said = variableOf(option, env)
    if (said === undefined) return option.fallback
    try {
      return option.read(said.text)
    } catch (error) {
      throw new ResQueueError('USAGE', `${said.name}: ${messageOf(error)}`, { cause: error })
    }
  })
}
