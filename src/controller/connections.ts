import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { messageOf } from '../errors.ts'
import type { Logger } from '../log.ts'
import { openStore, type Store } from '../redis/store.ts'
import { readConnections, type ConnectionConfig, type ReadConnection } from './connectionsfile.ts'

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
  let configs: ReadonlyMap<string, ReadConnection> = new Map()
  let told: readonly string[] = []

  /** Takes the file as it is now; a connection that cannot be used any more stays as it was. */
  const read = (): void => {
    const found: ReadonlyMap<string, ReadConnection> =
      source.kind === 'single'
        ? new Map([['default', { kind: 'ok', config: source.config }]])
        : readConnections(source.file)
    const unusable = [...found.values()].flatMap((one) => (one.kind === 'unusable' ? [one.message] : []))
    for (const message of unusable) {
      if (!told.includes(message)) log.error({ 'error.message': message }, 'a Redis connection cannot be used')
    }
    told = unusable
    configs = new Map(
      [...found].map(([name, one]) => [name, one.kind === 'ok' ? one : (configs.get(name) ?? one)] as const),
    )
  }
  read()

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
      const configured = configs.get(name)
      // The status of a scaler tells its tenant nothing of connections that are for others.
      if (!configured) {
        const theirs = [...configs].filter(([, one]) => isFor(one, namespace))
        const known = theirs.map(([one]) => `"${one}"`).join(', ') || 'none'
        return {
          kind: 'unknown',
          message: `The controller has no Redis connection "${name}" (for this namespace it has ${known}). See --connections.`,
        }
      }
      if (!isFor(configured, namespace)) {
        return {
          kind: 'forbidden',
          message: `The Redis connection "${name}" is not for the namespace "${namespace}". Add it to the connection's allowedNamespaces.`,
        }
      }
      if (configured.kind === 'unusable')
        return { kind: 'unknown', message: `The Redis connection "${name}" cannot be used. ${configured.message}` }
      const { config } = configured
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
        read()
      } catch (error) {
        const message = messageOf(error)
        if (!told.includes(message)) log.error({ 'error.message': message }, 'connections stay as they were')
        told = [message]
        return
      }
      for (const [name, { print }] of opened) {
        const configured = configs.get(name)
        if (configured?.kind === 'ok' && printOf(configured.config) === print) continue
        drop(name)
        log.info({ connection: name }, 'the Redis connection changed and is reopened')
      }
    },
    close: () => {
      for (const name of opened.keys()) drop(name)
    },
  }
}

function isFor(one: ReadConnection, namespace: string): boolean {
  const { allowedNamespaces } = one.kind === 'ok' ? one.config : one
  return allowedNamespaces.some((allowed) => allowed === '*' || allowed === namespace)
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
