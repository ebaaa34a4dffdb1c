import { createServer, type AddressInfo } from 'node:net'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { sideBySide } from '../support/aside.ts'
import { test } from '../support/fixtures.ts'
import { expectKept, job, startLedger, LEDGER_JOBS, takeAccount } from '../support/ledger.ts'
import { freePort } from '../support/ports.ts'
import { ROOT, runCli, spawnCli, spawnCommand } from '../support/process.ts'
import { startRedis } from '../support/redis.ts'
import { own } from '../support/scope.ts'
import { startSender } from '../support/sender.ts'
import { waitFor } from '../support/wait.ts'
import { launchWorker } from '../support/workers.ts'

/** `resqueue work` to its end, with one queue and the jobs of the ledger unless the flags say otherwise. */
async function work(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return runCli(['work', '--port', '0', ...args], { env: { LEDGER: '/dev/null', ...env } })
}

const QUEUES = ['--queues', 'q']
const JOBS = ['--jobs', LEDGER_JOBS]

const MISTAKES: readonly (readonly [what: string, code: number, words: string, args: readonly string[]])[] = [
  ['a URL that is none', 64, 'nowhere://', [...QUEUES, ...JOBS, '--redis', 'nowhere://x']],
  ['a port of Redis that does not exist', 64, '99999', [...QUEUES, ...JOBS, '--redis', 'redis://127.0.0.1:99999']],
  ['a cluster without a hash tag', 64, '{resque}', [...QUEUES, ...JOBS, '--redis', 'redis-cluster://127.0.0.1']],
  ['no queue', 64, '--queues', JOBS],
  ['an empty list of queues', 64, '--queues', ['--queues', ' , ', ...JOBS]],
  ['no jobs', 64, '--jobs', QUEUES],
  ['an unknown flag', 64, '--quues', ['--quues', 'q', ...JOBS]],
  ['no slots', 64, 'concurrency', [...QUEUES, ...JOBS, '--concurrency', '0']],
  ['a worker name with a colon', 64, 'colon', [...QUEUES, ...JOBS, '--worker-name', 'a:b']],
  ['jobs that are not there', 78, '/nowhere.ts', [...QUEUES, '--jobs', '/nowhere.ts', '--isolation', 'inline']],
  ['hooks that are not there', 78, '/nowhere.ts', [...QUEUES, ...JOBS, '--hooks', '/nowhere.ts']],
  ['a failure backend that is not there', 78, '/nowhere.ts', [...QUEUES, ...JOBS, '--failure-backend', '/nowhere.ts']],
]

/** So many at a time: more would only wait for each other. */
const LANES = 3

const ran = sideBySide({
  failFast: async () => {
    const port = await freePort()
    const url = `redis://:secret@127.0.0.1:${port}`
    return { port, ...(await work([...QUEUES, ...JOBS, '--redis', url, '--fail-fast', '--isolation', 'inline'])) }
  },
  mistakes: async () => {
    const results: Record<string, Awaited<ReturnType<typeof work>>> = {}
    const lane = async (first: number): Promise<void> => {
      for (let at = first; at < MISTAKES.length; at += LANES) {
        const [what, , , args] = MISTAKES[at] as (typeof MISTAKES)[number]
        results[what] = await work(args)
      }
    }
    await Promise.all(Array.from({ length: LANES }, (_, n) => lane(n)))
    return results
  },
})

describe('a Redis that is not there', () => {
  test('is waited for, and the worker says so', async () => {
    const ledger = startLedger()
    const port = await freePort()
    const url = `redis://127.0.0.1:${port}`
    const worker = launchWorker({ redis: url, ns: 'resque', ledger })
    const { redis } = await worker.says('waiting for it')
    expect(redis).toBe(url)
    expect((await worker.get('/readyz')).status).toBe(503)
    expect((await worker.get('/livez')).status).toBe(200)
    await startRedis({ port })
    await worker.says('worker started')
    const one = job('q', 'Note', [0])
    await startSender(url, 'resque').send(one)
    await ledger.sees('end', one.id)
    await waitFor(async () => (await worker.get('/readyz')).status === 200)
    expect(await worker.stop()).toEqual({ code: 0, signal: null })
  })

  test('can be left for again before it ever came', async () => {
    const worker = launchWorker({ redis: `redis://127.0.0.1:${await freePort()}`, ns: 'resque', ledger: startLedger() })
    await worker.says('waiting for it')
    expect(await worker.stop(15_000)).toEqual({ code: 0, signal: null })
  })

  test('ends a worker that is told to fail fast, with 69 and one line that names it', () => {
    const { port, code, stderr } = ran.failFast()
    expect(code).toBe(69)
    expect(stderr.trim().split('\n').length).toBe(1)
    expect(stderr).toContain(`127.0.0.1:${port}`)
    expect(stderr).not.toContain('secret')
  })
})

describe('a Redis that refuses', () => {
  test('the password ends the worker with 69 and says what to check', async () => {
    const server = await startRedis({ args: ['--requirepass', 'right'], password: 'right' })
    for (const url of [`redis://:wrong@127.0.0.1:${server.port}`, `redis://127.0.0.1:${server.port}`]) {
      const { code, stderr } = await work([...QUEUES, ...JOBS, '--redis', url, '--isolation', 'inline'])
      expect(code).toBe(69)
      expect(stderr).toMatch(/^resqueue: Redis refuses the user name or password/)
      expect(stderr).not.toContain('wrong')
      expect(stderr.trim().split('\n').length).toBe(1)
    }
  })

  test('writes for the moment is waited for, and the worker says why', async () => {
    const primary = await startRedis()
    const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', `${primary.port}`] })
    const lonely = await startRedis({ args: ['--min-replicas-to-write', '1'] })
    const up = async (port: number): Promise<string | undefined> =>
      /^resqueue_redis_up (.)$/m.exec(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text())?.[1]
    for (const [server, why, remedy] of [
      [replica, 'read-only replica', ['REPLICAOF', 'NO', 'ONE']],
      [lonely, 'NOREPLICAS', ['CONFIG', 'SET', 'min-replicas-to-write', '0']],
    ] as const) {
      const worker = launchWorker({ redis: server.url, ns: 'resque', ledger: startLedger() })
      expect(await worker.says('waiting for it')).toMatchObject({
        'error.message': expect.stringContaining(why) as string,
      })
      expect(await up(worker.port)).toBe('0')
      const [command, ...args] = remedy
      await server.client().call(command, ...args)
      await worker.says('worker started')
      expect(await up(worker.port)).toBe('1')
      expect(await worker.stop()).toEqual({ code: 0, signal: null })
    }
  })

  test('writes for the moment ends a worker that is told to fail fast, and one that is told to stop', async () => {
    const primary = await startRedis()
    const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', `${primary.port}`] })
    const failed = await work([...QUEUES, ...JOBS, '--redis', replica.url, '--isolation', 'inline', '--fail-fast'])
    expect(failed).toMatchObject({ code: 69, stderr: expect.stringContaining('read-only replica') as string })
    const worker = launchWorker({ redis: replica.url, ns: 'resque', ledger: startLedger() })
    await worker.says('waiting for it')
    expect(await worker.stop(15_000)).toEqual({ code: 0, signal: null })
  })

  test('no worker because it is full: workers are what makes room', async () => {
    const server = await startRedis()
    const ledger = startLedger()
    const one = job('q', 'Note', [0])
    await startSender(server.url, 'resque').send(one)
    const client = server.client()
    await client.config('SET', 'maxmemory-policy', 'noeviction')
    await client.config('SET', 'maxmemory', '1')
    const worker = launchWorker({ redis: server.url, ns: 'resque', ledger })
    await ledger.sees('end', one.id)
    await waitFor(async () => (await client.hlen('resque:ext:inflight:' + worker.nonce)) === 2)
    expect(await worker.stop()).toEqual({ code: 0, signal: null })
  })
})

describe('a mistake in the configuration', () => {
  for (const [what, code, words] of MISTAKES) {
    test(`${what} is one clear line and ${code}`, () => {
      const result = ran.mistakes()[what]
      expect(result).toMatchObject({ code, stderr: expect.stringContaining(words) as string })
      expect(result?.stderr.trim().split('\n').length).toBe(1)
      expect(result?.stderr).toMatch(/^resqueue: /)
    })
  }

  test('a port that is taken ends the worker with 69 before it leaves a trace', async ({ redis, redisUrl, ns }) => {
    const other = createServer().listen(0)
    own('other server', () => other.close())
    const { port } = other.address() as AddressInfo
    const { code, stderr } = await work([
      ...QUEUES,
      ...JOBS,
      '--redis',
      redisUrl,
      '--namespace',
      ns,
      '--port',
      `${port}`,
    ])
    expect(code).toBe(69)
    expect(stderr).toContain(`${port}`)
    expect(await redis.exists(`${ns}:ext:processes`, `${ns}:workers`)).toBe(0)
  })

  test('jobs that throw at load, export nothing or share a name end the worker with 78 before anything is taken', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const folder = mkdtempSync(join(tmpdir(), 'resqueue-jobs-'))
    own('job modules', () => rmSync(folder, { recursive: true, force: true }))
    await redis.rpush(`${ns}:queue:q`, '{"class":"Note","args":[]}')
    const twice = 'export class Same { perform() {} }'
    for (const [name, sources, words] of [
      ['throws', { 'a.ts': "throw new Error('no luck')" }, 'no luck'],
      ['empty', { 'a.ts': 'export const nothing = 1' }, 'a.ts'],
      ['syntax', { 'a.ts': 'export const = 1' }, 'a.ts'],
      ['twice', { 'a.ts': twice, 'b.ts': twice }, 'Same'],
    ] as const) {
      const path = mkdtempSync(join(folder, name))
      for (const [file, source] of Object.entries(sources)) writeFileSync(join(path, file), source)
      const isolations = name === 'throws' ? ['inline', 'fork'] : ['inline']
      const start = (isolation: string) =>
        work([...QUEUES, '--jobs', path, '--redis', redisUrl, '--namespace', ns, '--isolation', isolation])
      for (const { code, stderr } of await Promise.all(isolations.map(start))) {
        expect({ name, code }).toEqual({ name, code: 78 })
        expect(stderr).toContain(words)
      }
    }
    expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
    expect(await redis.exists(`${ns}:workers`)).toBe(0)
  })

  test('a namespace of a newer version is refused with 78', async ({ redis, redisUrl, ns }) => {
    await redis.hset(`${ns}:ext:meta`, 'version', '999')
    const { code, stderr } = await work([
      ...QUEUES,
      ...JOBS,
      '--redis',
      redisUrl,
      '--namespace',
      ns,
      '--isolation',
      'inline',
    ])
    expect(code).toBe(78)
    expect(stderr).toContain('newer')
  })
})

test('a pid file is written and removed', async ({ redisUrl, ns }) => {
  const file = join(tmpdir(), `resqueue-${process.pid}.pid`)
  own('pid file', () => rmSync(file, { force: true }))
  const child = spawnCli(
    [
      'work',
      ...QUEUES,
      ...JOBS,
      '--redis',
      redisUrl,
      '--namespace',
      ns,
      '--port',
      '0',
      '--isolation',
      'inline',
      '--pidfile',
      file,
    ],
    { env: { LEDGER: '/dev/null' } },
  )
  await child.waitForLine('worker started')
  expect(Number(readFileSync(file, 'utf8'))).toBe(child.pid)
  child.signal('SIGTERM')
  await child.waitForExit()
  expect(existsSync(file)).toBe(false)
})

test('with too few descriptors for its slots it says so and leaves with 69', async ({ redisUrl, ns }) => {
  const words = [
    'work',
    '--redis',
    redisUrl,
    '--namespace',
    ns,
    '--concurrency',
    '64',
    '--port',
    '0',
    ...QUEUES,
    ...JOBS,
  ]
  const worker = spawnCommand(
    'sh',
    ['-c', 'ulimit -n 64; exec "$@"', 'sh', process.execPath, `${ROOT}src/bin.ts`, ...words, '--isolation', 'fork'],
    { env: { LEDGER: '/dev/null' } },
  )
  expect(await worker.waitForExit()).toEqual({ code: 69, signal: null })
  expect(worker.stderr).toMatch(/^resqueue: No descriptors for a job process \(.*ulimit -n.*\n$/)
})

test('descriptors that run out while jobs run keep those that have none waiting, and each is performed once', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const ledger = startLedger()
  const sent = Array.from({ length: 60 }, () => job('q', 'Note', [300]))
  await redis.sadd(`${ns}:queues`, 'q')
  await redis.rpush(`${ns}:queue:q`, ...sent.map(({ raw }) => raw))
  const words = ['work', '--redis', redisUrl, '--namespace', ns, '--queues', 'q', '--jobs', LEDGER_JOBS, '--port', '0']
  const slots = ['--isolation', 'fork', '--concurrency', '64', '--burst']
  const worker = spawnCommand(
    'sh',
    ['-c', 'ulimit -n 200; exec "$@"', 'sh', process.execPath, `${ROOT}src/bin.ts`, ...words, ...slots],
    { env: ledger.env },
  )
  expect(await worker.waitForExit()).toEqual({ code: 0, signal: null })
  expect(worker.stdout).toContain('a job process could not be made: No descriptors')
  for (const { id } of sent) expect(ledger.of('start', id).length).toBe(1)
  expectKept(sent, await takeAccount(redis, ns, ledger), ledger)
})
