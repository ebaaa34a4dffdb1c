import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { maxRecoveries, namespace } from '../config.ts'
import { defined } from '../defined.ts'
import { ResQueueError, messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { openStore, type Store } from '../redis/store.ts'
import { parseEndpoint, sentinelConfig, type RedisConfig } from '../redis/url.ts'
import { isObject } from './fields.ts'
import { readYaml } from './yaml.ts'

/** A Redis that scalers may name with `spec.redis.name`. */
export interface ConnectionConfig {
  readonly redis: RedisConfig
  /** Kubernetes namespaces whose scalers may use it; `*`: all. */
  readonly allowedNamespaces: readonly string[]
  /** How often a job is put back after its pod was lost before it counts as failed. */
  readonly maxRecoveries: number
}

/** A configured Redis, opened. Another object as soon as anything about it has changed. */
export interface Connection extends ConnectionConfig {
  readonly name: string
  readonly store: Store
}

export type Lookup =
  | { readonly kind: 'ok'; readonly connection: Connection }
  /** No connection has this name, or its configuration cannot be used. */
  | { readonly kind: 'unknown'; readonly message: string }
  | { readonly kind: 'forbidden'; readonly message: string }

/** The connections that the controller is configured with. */
export interface Connections {
  /** The connection of this name, as a scaler in this namespace may use it. */
  find(name: string, namespace: string): Lookup
  /** Reads the files anew and opens what has changed. What cannot be read stays as it was, and is told once. */
  refresh(): void
  /** Calls sent and reconnections, of all connections there ever were. */
  readonly counts: { readonly commands: number; readonly reconnects: number }
  close(): void
}

/** Where connections come from: one from the command line, or a file of them. */
export type ConnectionSource =
  | { readonly kind: 'single'; readonly config: ConnectionConfig }
  | { readonly kind: 'file'; readonly file: string }

/** Opens connections when they are first asked for. Throws `CONFIG` where the file cannot be used at the start. */
export function openConnections(source: ConnectionSource, log: Logger): Connections {
  const opened = new Map<string, { connection: Connection; print: string }>()
  let configs = source.kind === 'single' ? new Map([['default', source.config]]) : readConnections(source.file)
  let told = ''

  const past = { commands: 0, reconnects: 0 }

  const drop = (name: string): void => {
    const store = opened.get(name)?.connection.store
    past.commands += store?.counts.commands ?? 0
    past.reconnects += store?.counts.reconnects ?? 0
    store?.close()
    opened.delete(name)
  }

  return {
    get counts() {
      const sum = { ...past }
      for (const { connection } of opened.values()) {
        sum.commands += connection.store.counts.commands
        sum.reconnects += connection.store.counts.reconnects
      }
      return sum
    },
    find: (name, namespace) => {
      const config = configs.get(name)
      if (!config) {
        const known = [...configs.keys()].map((one) => `"${one}"`).join(', ') || 'none'
        return {
          kind: 'unknown',
          message: `The controller has no Redis connection "${name}" (it has ${known}). See --connections.`,
        }
      }
      if (!config.allowedNamespaces.some((allowed) => allowed === '*' || allowed === namespace)) {
        return {
          kind: 'forbidden',
          message: `The Redis connection "${name}" is not for the namespace "${namespace}". Add it to the connection's allowedNamespaces.`,
        }
      }
      let found = opened.get(name)
      if (!found) {
        const connection = { ...config, name, store: openStore(config.redis, 'resqueue-controller') }
        found = { connection, print: printOf(config) }
        opened.set(name, found)
      }
      return { kind: 'ok', connection: found.connection }
    },
    refresh: () => {
      try {
        if (source.kind === 'file') configs = readConnections(source.file)
        told = ''
      } catch (error) {
        if (told !== messageOf(error)) log.error({ 'error.message': messageOf(error) }, 'connections stay as they were')
        told = messageOf(error)
        return
      }
      for (const [name, { print }] of opened) {
        const config = configs.get(name)
        if (config && printOf(config) === print) continue
        drop(name)
        log.info({ connection: name }, 'the Redis connection changed and is reopened')
      }
    },
    close: () => {
      for (const name of opened.keys()) drop(name)
    },
  }
}

/** Everything that a connection is made with, the contents of its files included. */
function printOf({ redis, allowedNamespaces, maxRecoveries }: ConnectionConfig): string {
  const hash = createHash('sha256').update(JSON.stringify([redis, allowedNamespaces, maxRecoveries]))
  const { passwordFile, sentinel, tls } = redis
  for (const file of [passwordFile, sentinel?.passwordFile, tls?.ca, tls?.cert, tls?.key]) {
    if (file === undefined) continue
    try {
      hash.update(readFileSync(file))
    } catch {
      // Told when the connection is opened.
    }
  }
  return hash.digest('hex')
}

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
export function readConnections(file: string): Map<string, ConnectionConfig> {
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
  if (!isObject(connections)) throw wrong(file, 'connections', 'must map names to connections')
  return new Map(Object.entries(connections).map(([name, value]) => [name, readConnection(file, name, value)]))
}

function readConnection(file: string, name: string, value: unknown): ConnectionConfig {
  const at = `connections.${name}`
  if (!isObject(value)) throw wrong(file, at, 'must be an object')
  for (const field of Object.keys(value)) {
    if (!FIELDS.some((known) => known === field))
      throw wrong(file, `${at}.${field}`, `is unknown; there are ${FIELDS.join(', ')}`)
  }
  const text = (field: (typeof FIELDS)[number]): string | undefined => {
    const found = value[field]
    if (found === undefined || found === null) return undefined
    if (typeof found !== 'string' || found === '') throw wrong(file, `${at}.${field}`, 'must be text')
    return found
  }
  const whole = (field: 'db' | 'maxRecoveries'): number | undefined => {
    const found = value[field]
    if (found === undefined || found === null) return undefined
    if (!Number.isInteger(found) || (found as number) < 0) throw wrong(file, `${at}.${field}`, 'must be a whole number')
    return found as number
  }
  const urlFile = text('urlFile')
  const given = text('url') ?? (urlFile === undefined ? undefined : read(file, `${at}.urlFile`, urlFile))
  if (given === undefined) throw wrong(file, at, 'needs url or urlFile')
  const [username, passwordFile] = [text('username'), text('passwordFile')]
  const [ca, cert, key] = [text('caFile'), text('certFile'), text('keyFile')]
  if ((cert === undefined) !== (key === undefined)) throw wrong(file, at, 'needs both certFile and keyFile, or neither')
  const namespaces = value['allowedNamespaces'] ?? ['*']
  if (!Array.isArray(namespaces) || !namespaces.every((one) => typeof one === 'string'))
    throw wrong(file, `${at}.allowedNamespaces`, 'must be a list of Kubernetes namespaces, or ["*"]')
  const tls = defined({ ca, cert, key })
  const redis: RedisConfig = {
    url: username === undefined ? given : withUser(given, username),
    namespace: text('namespace') ?? namespace.fallback,
    ...defined({ db: whole('db'), passwordFile }),
    ...sentinelConfig(text('sentinelUsername'), undefined, text('sentinelPasswordFile')),
    ...(Object.keys(tls).length > 0 ? { tls } : {}),
  }
  try {
    parseEndpoint(redis)
  } catch (error) {
    throw wrong(file, `${at}.url`, messageOf(error))
  }
  return { redis, allowedNamespaces: namespaces, maxRecoveries: whole('maxRecoveries') ?? maxRecoveries.fallback }
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

function read(file: string, at: string, path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw wrong(file, at, messageOf(error))
  }
}

function wrong(file: string, at: string, what: string): ResQueueError {
  return new ResQueueError('CONFIG', `${file}: ${at}: ${what}.`)
}
