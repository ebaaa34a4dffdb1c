import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

/** Where the demo happens. Disposing of it leaves nothing behind. */
export interface Place extends AsyncDisposable {
  readonly folder: string
  readonly url: string
  readonly namespace: string
  /** The server was started for the demo and ends with it. */
  readonly own: boolean
  readonly redis: Redis
}

/**
 * A server of our own on a free port of the loopback interface, or a namespace of our own on the one that `url` names.
 */
export async function openPlace(url: string | undefined): Promise<Place> {
  await using undo = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'resqueue-demo-'))
  undo.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))
  const own = url === undefined || url === ''
  const address = own ? await startServer(folder, undo) : url
  if (!/^rediss?:/.test(address))
    throw new Error(`The demo needs a redis:// or rediss:// URL, not ${address.split(':')[0]}:`)
  const namespace = own ? 'resque' : `resqueue-demo-${randomBytes(4).toString('hex')}`
  const redis = await connect(address)
  undo.defer(async () => {
    if (!own) await removeNamespace(redis, namespace)
    redis.disconnect()
  })
  const all = undo.move()
  return { folder, url: address, namespace, own, redis, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/** A port of the loopback interface that is free now. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as { port: number }
  probe.close()
  await once(probe, 'close')
  return port
}

async function startServer(folder: string, undo: AsyncDisposableStack): Promise<string> {
  const port = await freePort()
  const dir = join(folder, 'redis')
  await mkdir(dir)
  const args = ['--bind', '127.0.0.1', '--port', `${port}`, '--dir', dir, '--save', '', '--logfile', 'redis.log']
  // In a group of its own, so that Ctrl-C is for the demo, which still has keys to look at.
  const server = spawn('redis-server', args, { stdio: 'ignore', detached: true })
  try {
    await once(server, 'spawn')
  } catch (cause) {
    throw new Error('redis-server cannot be started; run "make deps", which installs it, or set REDIS_URL', { cause })
  }
  const gone = once(server, 'exit')
  undo.defer(async () => {
    server.kill('SIGKILL')
    await gone
  })
  return `redis://127.0.0.1:${port}`
}

async function connect(url: string): Promise<Redis> {
  const { protocol, host } = new URL(url)
  let reason = 'it does not answer'
  const redis = new Redis(url, {
    protocol: 2,
    disableClientInfo: true,
    connectionName: 'resqueue-demo',
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(20 * attempt, 500),
  })
  redis.on('error', (error: Error) => {
    reason = error.message
  })
  for (let tries = 0; tries < 100; tries++) {
    try {
      await redis.ping()
      return redis
    } catch (error) {
      const { message } = error as Error
      if (!message.includes('max retries')) reason = message
      if (/NOAUTH|WRONGPASS|NOPERM/.test(reason)) break
      await sleep(50)
    }
  }
  redis.disconnect()
  throw new Error(`Redis at ${protocol}//${host} cannot be used: ${reason}`)
}

async function removeNamespace(redis: Redis, namespace: string): Promise<void> {
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', `${namespace}:*`, 'COUNT', 1000)
    if (keys.length > 0) await redis.del(...keys)
    cursor = next
  } while (cursor !== '0')
}
