import { redisSettings } from '../redis/settings.ts'
import { parseEndpoint, type RedisConfig } from '../redis/url.ts'
import type { Settings } from './resolve.ts'

/** Where Redis is, from options and environment. Throws `USAGE` for what cannot work. */
export function redisConfig(settings: Settings): RedisConfig {
  const config = redisSettings(settings.get)
  parseEndpoint(config)
  return config
}
