import { readFileSync } from 'node:fs'
import { maxRecoveries, namespace } from '../config.ts'
import { defined } from '../defined.ts'
import { ResQueueError, messageOf } from '../errors.ts'
import { isObject } from '../json.ts'
import { parseEndpoint, sentinelConfig, type RedisConfig } from '../redis/url.ts'
import type { Problem } from './api.ts'
import { fieldsOf } from './fields.ts'
import { readYaml } from './yaml.ts'

/** A Redis that scalers may name with `spec.redis.name`. */
export interface ConnectionConfig {
  readonly redis: RedisConfig
  /** Kubernetes namespaces whose scalers may use it; `*`: all. */
  readonly allowedNamespaces: readonly string[]
  /** How often a job is put back after its pod was lost before it counts as failed. */
  readonly maxRecoveries: number
}

/** A connection as the file has it. */
export type ReadConnection =
  | { readonly kind: 'ok'; readonly config: ConnectionConfig }
  /** What its `urlFile` should hold cannot be read or used. Another connection has nothing to do with that. */
  | { readonly kind: 'unusable'; readonly message: string; readonly allowedNamespaces: readonly string[] }

const FIELDS = [
  'url',
  'urlFile',
  'username',
  'passwordFile',
  'sentinelUsername',
  'sentinelPasswordFile',
  'caFile',
  'certFile',
  'keyFile',
  'db',
  'namespace',
  'allowedNamespaces',
  'maxRecoveries',
] as const

/** Reads a file of connections, YAML or JSON. Throws `CONFIG` that says where it is wrong. */
export function readConnections(file: string): ReadonlyMap<string, ReadConnection> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new ResQueueError('CONFIG', `The file of connections ${file} cannot be read: ${messageOf(error)}`, {
      cause: error,
    })
  }
  const root = readYaml(text, file)[0]?.value
  const connections = isObject(root) ? root['connections'] : undefined
  if (!isObject(connections)) throw wrong(file, ['connections'], 'must map names to connections')
  return new Map(Object.entries(connections).map(([name, value]) => [name, readConnection(file, name, value)]))
}

function readConnection(file: string, name: string, value: unknown): ReadConnection {
  const problems: Problem[] = []
  const fields = fieldsOf(value ?? null, ['connections', name], FIELDS, problems, true)
  const text = (field: (typeof FIELDS)[number]): string | undefined =>
    fields.given(field) ? fields.text(field) : undefined
  const whole = (field: (typeof FIELDS)[number]): number | undefined =>
    fields.given(field) ? fields.whole(field, 0, Number.MAX_SAFE_INTEGER) : undefined
  const [url, urlFile, username] = [text('url'), text('urlFile'), text('username')]
  const [ca, cert, key] = [text('caFile'), text('certFile'), text('keyFile')]
  const tls = defined({ ca, cert, key })
  const allowedNamespaces = fields.list('allowedNamespaces', (one, path) => {
    if (typeof one !== 'string') problems.push({ path, message: 'must be a Kubernetes namespace, or "*"' })
    return String(one)
  })
  const redis: Omit<RedisConfig, 'url'> = {
    namespace: text('namespace') ?? namespace.fallback,
    ...defined({ db: whole('db'), passwordFile: text('passwordFile') }),
    ...sentinelConfig(text('sentinelUsername'), undefined, text('sentinelPasswordFile')),
    ...(Object.keys(tls).length > 0 ? { tls } : {}),
  }
  const rest: Omit<ConnectionConfig, 'redis'> = {
    allowedNamespaces: fields.given('allowedNamespaces') ? allowedNamespaces : ['*'],
    maxRecoveries: whole('maxRecoveries') ?? maxRecoveries.fallback,
  }
  if ((cert === undefined) !== (key === undefined)) fields.problem(null, 'needs both certFile and keyFile, or neither')
  if (!fields.given('url') && !fields.given('urlFile') && isObject(value)) fields.problem(null, 'needs url or urlFile')
  const [problem] = problems
  if (problem) throw wrong(file, problem.path, problem.message)
  try {
    const given = url ?? readFileSync(urlFile as string, 'utf8').trim()
    const config = { redis: { url: username === undefined ? given : withUser(given, username), ...redis }, ...rest }
    parseEndpoint(config.redis)
    return { kind: 'ok', config }
  } catch (error) {
    const found = wrong(file, ['connections', name, url === undefined ? 'urlFile' : 'url'], messageOf(error))
    if (url !== undefined) throw found
    return { kind: 'unusable', message: found.message, allowedNamespaces: rest.allowedNamespaces }
  }
}

/**
 * Puts a user into a URL; one that it names already goes, with its password: all up to the last @, as `parseEndpoint`
 * reads it.
 */
function withUser(url: string, username: string): string {
  const full = url.includes('://') ? url : `redis://${url}`
  return full.replace(
    /^([a-z-]+:\/\/)(?:(?!\/).*@)?/is,
    (_, scheme: string) => `${scheme}${encodeURIComponent(username)}:@`,
  )
}

function wrong(file: string, path: Problem['path'], what: string): ResQueueError {
  return new ResQueueError('CONFIG', `${file}: ${path.join('.')}: ${what.replace(/\.$/, '')}.`)
}
