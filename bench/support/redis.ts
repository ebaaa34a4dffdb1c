import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

/** The benchmark's own Redis: nothing else uses it, so it may be flushed. */
export interface PrivateRedis extends AsyncDisposable {
  readonly port: number
  readonly version: string
  readonly client: Redis
  /** Removes everything, scripts too, and sets all counters to zero. */
  flush(): Promise<void>
}

/** Starts a redis-server without persistence on a free port of the loopback interface. */
export async function startRedis(): Promise<PrivateRedis> {
  const port = await freePort()
  const dir = mkdtempSync(join(tmpdir(), 'resqueue-bench-redis-'))
  const settings = [
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
    '--daemonize',
    'no',
  ]
  const server = spawn('redis-server', settings, { stdio: 'ignore' })
  process.on('exit', () => {
    server.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })
  const client = new Redis({
    host: '127.0.0.1',
    port,
    lazyConnect: true,
    protocol: 2,
    retryStrategy: () => 50,
    maxRetriesPerRequest: null,
  })
  client.on('error', () => undefined) // until it listens
  await Promise.race([client.ping(), failed(server)])
  const version = /redis_version:(\S+)/.exec(await client.info('server'))?.[1] ?? 'unknown'
  return {
    port,
    version,
    client,
    flush: async () => {
      await client.flushall('SYNC')
      await client.script('FLUSH', 'SYNC')
      await client.config('RESETSTAT')
    },
    async [Symbol.asyncDispose]() {
      client.disconnect()
      const gone = once(server, 'exit')
      server.kill('SIGTERM')
      await Promise.race([gone, sleep(5000).then(() => server.kill('SIGKILL'))])
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

async function failed(server: ChildProcess): Promise<never> {
  await Promise.race([once(server, 'exit'), once(server, 'error')])
  throw new Error('redis-server did not start')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
