import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { isUtf8 } from 'node:buffer'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { freePort } from './ports.ts'
import { freeze } from './proc.ts'
import { cleanEnv, guard } from './process.ts'
import { own } from './scope.ts'
import { within } from './wait.ts'

/** A redis-server of a test's own. It is killed with the test at the latest. */
export interface RedisServer extends AsyncDisposable {
  readonly host: '127.0.0.1'
  readonly port: number
  readonly url: string
  readonly dir: string
  /** Of the server that runs now; changes with `restart`. */
  readonly pid: number
  readonly running: boolean
  /** The last lines of its log. */
  readonly log: readonly string[]
  /** A plain ioredis client (RESP2, no re-sending), closed with the test. */
  client(options?: ClientOptions): Redis
  /** SIGTERM: as an administrator would. Nothing is saved unless `args` say so. */
  stop(): Promise<void>
  /** SIGKILL: as a power cut would. */
  kill(): Promise<void>
  /** SIGSTOP, in force on return, and SIGCONT: connections stay open and nothing answers. */
  pause(): void
  resume(): void
  /** Starts again on the same port and in the same folder, stopping it first where it runs. */
  restart(args?: readonly string[]): Promise<void>
}

export interface RedisServerOptions {
  readonly port?: number
  /** Added to the command line, for example `['--maxmemory', '2mb']`. Without any, nothing is ever written to disk. */
  readonly args?: readonly string[]
  /** Kept afterwards. Default: a temporary folder, removed afterwards. */
  readonly dir?: string
  /** Goes before the user part of `url`, for a server with `--requirepass`. */
  readonly password?: string
  /** The executable and what stands before the options. Default: redis-server. */
  readonly command?: readonly [string, ...string[]]
}

export type ClientOptions = Omit<RedisOptions, 'replyMapping'>

const LOG_LINES = 500

/** For runs against another implementation, such as valkey-server. */
export const REDIS_SERVER: string = process.env['RESQUEUE_TEST_REDIS_SERVER'] ?? 'redis-server'

/** Starts a redis-server on a free loopback port and resolves when it answers. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'resqueue-redis-')))
  const log: string[] = []
  let port = options.port ?? (await freePort(10_000))
  let child: ChildProcess | undefined
  let ended: Promise<void> = Promise.resolve()
  let args = options.args ?? []

  const launch = async (): Promise<void> => {
    const [command, ...before] = options.command ?? [REDIS_SERVER]
    const all = [
      ...before,
      '--port',
      `${port}`,
      '--bind',
      '127.0.0.1',
      '--dir',
      dir,
      '--save',
      '',
      '--appendonly',
      'no',
      ...args,
    ]
    const started = spawn(command, all, { stdio: ['ignore', 'pipe', 'pipe'], env: cleanEnv() })
    child = started
    const ready = Promise.withResolvers<void>()
    let rest = ''
    const read = (chunk: Buffer): void => {
      const lines = `${rest}${chunk.toString()}`.split('\n')
      rest = lines.pop() ?? ''
      log.push(...lines)
      if (log.length > LOG_LINES) log.splice(0, log.length - LOG_LINES)
      if (lines.some((line) => /Ready to accept connections|monitor master|\+monitor/.test(line))) ready.resolve()
    }
    started.stdout.on('data', read)
    started.stderr.on('data', read)
    ended = new Promise((resolve) => {
      started.once('exit', () => {
        if (child === started) child = undefined
        resolve()
        ready.reject(new Error(`redis-server ended: ${log.slice(-5).join('\n')}`))
      })
      started.once('error', (error) => {
        if (child === started) child = undefined
        resolve()
        ready.reject(new Error(`redis-server cannot be started: run "make deps", which installs it.`, { cause: error }))
      })
    })
    if (started.pid !== undefined) guard(started.pid, ended)
    await within(20_000, ready.promise, () => `redis-server on port ${port}: ${log.slice(-5).join('\n')}`)
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child?.kill('SIGCONT')
    child?.kill(signal)
    await within(20_000, ended, `the end of redis-server ${child?.pid}`)
  }
  const dispose = async (): Promise<void> => {
    await end('SIGKILL')
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true })
  }

  own(`redis-server on port ${port}`, dispose)
  for (let attempt = 0; ; attempt++) {
    try {
      await launch()
      break
    } catch (error) {
      await end('SIGKILL')
      if (options.port !== undefined || attempt === 4 || !log.some((line) => line.includes('Address already in use')))
        throw error
      port = await freePort(10_000)
    }
  }
  const server: RedisServer = {
    host: '127.0.0.1',
    get port() {
      return port
    },
    get url() {
      return `redis://${options.password ? `:${encodeURIComponent(options.password)}@` : ''}127.0.0.1:${port}`
    },
    dir,
    get pid() {
      if (child?.pid === undefined) throw new Error('This redis-server does not run')
      return child.pid
    },
    get running() {
      return child !== undefined
    },
    log,
    client: (clientOptions = {}) => openClient(server.url, clientOptions),
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => freeze(server.pid),
    resume: () => void child?.kill('SIGCONT'),
    async restart(newArgs) {
      if (newArgs) args = newArgs
      await end('SIGTERM')
      await launch()
    },
    [Symbol.asyncDispose]: dispose,
  }
  return server
}

/**
 * A plain ioredis client for looking at and preparing keys: RESP2, fails instead of re-sending, closed with the test.
 */
export function openClient(url: string, options: ClientOptions = {}): Redis {
  const client = new Redis(url, {
    protocol: 2,
    disableClientInfo: true,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 1,
    ...options,
  })
  client.on('error', () => undefined)
  own('redis client', () => client.disconnect())
  return client
}

/** The namespace of one test: the same in every run, no other test's. */
export function namespaceOf(file: string, testName: string): string {
  const path = file.replaceAll('\\', '/').replace(/^.*\/test\//, '')
  return `test-${createHash('sha1').update(`${path}\0${testName}`).digest('hex').slice(0, 12)}`
}

/** Keys that belong to some test, with or without a hash tag around the namespace. */
const OF_A_TEST = /^\{?test-[0-9a-f]{12}/

/** The names of all keys that start with `prefix`. */
export async function keysUnder(client: Redis, prefix: string): Promise<string[]> {
  const found = new Set<string>()
  const pattern = `${prefix.replaceAll(/[[\]*?\\^]/g, '\\$&')}*`
  let cursor = '0'
  do {
    const [next, keys] = await client.scan(cursor, 'MATCH', pattern, 'COUNT', 1000)
    for (const key of keys) found.add(key)
    cursor = next
  } while (cursor !== '0')
  return [...found].sort()
}

/** Deletes the keys of a namespace, with and without a hash tag: never FLUSH. */
export async function dropNamespace(client: Redis, ns: string): Promise<void> {
  for (const prefix of [ns, `{${ns}`]) {
    const keys = await keysUnder(client, prefix)
    for (let at = 0; at < keys.length; at += 1000) await client.unlink(keys.slice(at, at + 1000))
  }
}

/** Keys outside every test's namespace. They are deleted, so that only one test is blamed. */
export async function takeLeakedKeys(client: Redis): Promise<string[]> {
  const leaked = (await keysUnder(client, '')).filter((key) => !OF_A_TEST.test(key))
  for (const key of leaked) await client.del(key)
  return leaked
}

export type Value =
  | { readonly type: 'string'; readonly value: string; readonly expires: boolean }
  | { readonly type: 'list' | 'set'; readonly value: readonly string[]; readonly expires: boolean }
  | { readonly type: 'zset' | 'hash'; readonly value: Readonly<Record<string, string>>; readonly expires: boolean }
  | { readonly type: string; readonly value: null; readonly expires: boolean }

/** Key (without the namespace and its colon) → what it holds. Compare two of them with `toEqual`. */
export type Snapshot = Readonly<Record<string, Value>>

/**
 * Everything that a namespace holds, byte for byte: text that is UTF-8 as it is, anything else as `base64:…`. Sets and
 * hashes are sorted; expiry is noted as a fact only, because times to live move.
 */
export async function snapshot(client: Redis, ns: string): Promise<Snapshot> {
  const prefix = ns === '' ? '' : `${ns}:`
  const entries: [string, Value][] = []
  for (const key of await keysUnder(client, prefix)) {
    const type = await client.type(key)
    if (type === 'none') continue
    const expires = (await client.pttl(key)) >= 0
    entries.push([key.slice(prefix.length), { type, value: await valueOf(client, key, type), expires } as Value])
  }
  return Object.fromEntries(entries)
}

async function valueOf(client: Redis, key: string, type: string): Promise<Value['value']> {
  switch (type) {
    case 'string':
      return bytes((await client.getBuffer(key)) ?? Buffer.alloc(0))
    case 'list':
      return (await client.lrangeBuffer(key, 0, -1)).map(bytes)
    case 'set':
      return (await client.smembersBuffer(key)).map(bytes).sort()
    case 'zset':
      return pairs((await client.callBuffer('zrange', key, 0, -1, 'withscores')) as Buffer[])
    case 'hash': {
      const values = await client.hvalsBuffer(key)
      return pairs((await client.hkeysBuffer(key)).flatMap((field, i) => [field, values[i] as Buffer]))
    }
    default:
      return null
  }
}

function pairs(flat: readonly Buffer[]): Record<string, string> {
  const found: [string, string][] = []
  for (let i = 0; i < flat.length; i += 2) found.push([bytes(flat[i] as Buffer), bytes(flat[i + 1] as Buffer)])
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Bytes as text that differs whenever the bytes differ. */
export function bytes(buffer: Buffer): string {
  return isUtf8(buffer) ? buffer.toString() : `base64:${buffer.toString('base64')}`
}
