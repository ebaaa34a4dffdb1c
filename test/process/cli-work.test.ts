import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { freePort } from '../support/ports.ts'
import { spawnCli, type SpawnOptions, type TestProcess } from '../support/process.ts'
import { keysUnder } from '../support/redis.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'
import { cliOf, run } from './cli.ts'

const JOBS = `
export class Ok { perform() { return 1 } }
export class Slow { async perform(s) { await new Promise((resolve) => setTimeout(resolve, s * 1000)) } }
`

async function folder(files: Readonly<Record<string, string>> = {}): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'resqueue-work-'))
  own('folder', () => rm(dir, { recursive: true, force: true }))
  for (const [name, source] of Object.entries({ 'jobs.mjs': JOBS, ...files })) await writeFile(join(dir, name), source)
  return dir
}

async function work(
  redisUrl: string,
  ns: string,
  words: readonly string[],
  env: SpawnOptions['env'] = {},
  files: Readonly<Record<string, string>> = {},
): Promise<TestProcess & { readonly dir: string }> {
  const dir = await folder(files)
  const process = spawnCli(['work', '--port', '0', ...words], {
    cwd: dir,
    env: { REDIS_URL: redisUrl, PREFIX: ns, JOBS: 'jobs.mjs', QUEUE: 'q', ...env },
  })
  return Object.assign(process, { dir })
}

function logged(worker: TestProcess, message: string): Record<string, unknown> {
  const line = worker.lines.find(({ text }) => text.includes(`"msg":"${message}"`))
  return JSON.parse(line?.text ?? '{}') as Record<string, unknown>
}

describe('resqueue work', () => {
  test('answers on the address of --host alone', async ({ redisUrl, ns }) => {
    const worker = await work(redisUrl, ns, ['--host', '127.0.0.1', '--port', '0'])
    const line = await worker.waitForLine('health and metrics are served')
    const { port } = JSON.parse(line) as { port: number }
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200)
    await expect(fetch(`http://127.0.0.2:${port}/livez`)).rejects.toThrow()
  })

  test("works the family's environment and leaves at interval 0 when nothing is left (R23, R78)", async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const cli = cliOf(redisUrl, ns)
    await cli('enqueue', 'q', 'Ok')
    await cli('enqueue', 'q', 'Missing')
    const worker = await work(redisUrl, ns, [], {
      COUNT: '2',
      INTERVAL: '0',
      BLOCKING: 'false',
      FORK_PER_JOB: 'false',
      PIDFILE: 'w.pid',
    })
    expect(await worker.waitForExit()).toEqual({ code: 0, signal: null })
    expect(await redis.mget(`${ns}:stat:processed`, `${ns}:stat:failed`)).toEqual(['2', '1'])
    expect(logged(worker, 'worker started')).toMatchObject({ slots: 2, queues: ['q'] })
    await expect(readFile(join(worker.dir, 'w.pid'))).rejects.toThrow('ENOENT')
    expect(worker.stderr).toBe('')
  })

  test('writes a pid file, serves health on the port it logs, and ends at TERM with 0', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const cli = cliOf(redisUrl, ns)
    const worker = await work(redisUrl, ns, ['--pidfile', 'w.pid', '--worker-name', 'my-pod'])
    await worker.waitForLine('worker started')
    expect(await readFile(join(worker.dir, 'w.pid'), 'utf8')).toBe(`${worker.pid}\n`)
    const { port } = logged(worker, 'health and metrics are served')
    expect(await cli('health', '--port', String(port), '--ready')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/healthy\n$/),
    })
    expect((await cli('worker', 'ls', '-o', 'json')).json).toMatchObject([
      { host: 'my-pod', pid: worker.pid, state: 'idle' },
    ])
    worker.signal('SIGTERM')
    expect(await worker.waitForExit()).toEqual({ code: 0, signal: null })
    expect(await redis.exists(`${ns}:workers`)).toBe(0)
  })

  test('heeds USR2, CONT, HUP and USR1, and puts its job back at the second INT, ending with 130', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const cli = cliOf(redisUrl, ns)
    const worker = await work(redisUrl, ns, [])
    await worker.waitForLine('worker started')
    worker.signal('SIGUSR2')
    await worker.waitForLine('"msg":"paused')
    await cli('enqueue', 'q', 'Slow', '60')
    worker.signal('SIGCONT')
    await worker.waitForLine('"msg":"job started"')
    worker.signal('SIGHUP')
    await worker.waitForLine('"msg":"job code reloaded"')
    worker.signal('SIGUSR1')
    await worker.waitForLine('"msg":"job failed"')
    await cli('enqueue', 'q', 'Slow', '60', '--id', 'kept')
    await waitFor(async () => (await cli('worker', 'ls', '-o', 'json')).stdout.includes('"kept"'))
    worker.signal('SIGINT')
    await worker.waitForLine('"msg":"stopping: running jobs are finished')
    worker.signal('SIGINT')
    expect(await worker.waitForExit()).toEqual({ code: 130, signal: null })
    expect((await cli('queue', 'peek', 'q', '-o', 'json')).json).toMatchObject([{ id: 'kept' }])
    expect(await redis.llen(`${ns}:failed`)).toBe(1)
    expect(worker.stderr).not.toContain('Debugger')
  })

  test('writes JSON lines only', async ({ redisUrl, ns }) => {
    const worker = await work(redisUrl, ns, ['--burst', '--log-level', 'debug'])
    await worker.waitForExit()
    expect(worker.lines.length).toBeGreaterThan(2)
    expect(worker.lines.filter(({ text }) => !/^\{"level":"\w+","time":"\d{4}-.*"msg":".*"\}$/.test(text))).toEqual([])
  })
})

describe('resqueue work refuses', () => {
  test('a command line without queues or jobs, at once and on one line', async () => {
    const ran = await run(['work', '--port', 'x'])
    expect(ran).toMatchObject({
      code: 64,
      stdout: '',
      stderr: expect.stringMatching(/^resqueue: --port: "x" is not a whole number \(see resqueue work --help\)\n$/),
    })
    expect(await run(['work'])).toMatchObject({
      code: 64,
      stderr: expect.stringMatching(/^resqueue: missing --queues .*; --jobs .*\n$/),
    })
  })

  test.for([
    ['nothing.mjs', undefined, /nothing\.mjs/],
    ['none.mjs', 'export const x = 1', /none\.mjs.*no job/],
    ['throws.mjs', 'throw new Error("at load")', /throws\.mjs.*at load/],
  ] as const)(
    'the job module %s with 78, leaving nothing in Redis',
    async ([name, source, said], { redis, redisUrl, ns }) => {
      const worker = await work(redisUrl, ns, ['--jobs', name], {}, source === undefined ? {} : { [name]: source })
      expect(await worker.waitForExit()).toEqual({ code: 78, signal: null })
      expect(worker.stderr).toMatch(said)
      expect(await keysUnder(redis, ns)).toEqual([])
    },
  )

  test('a port that is taken with 69, leaving nothing in Redis', async ({ redis, redisUrl, ns }) => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, resolve))
    own('server', () => server.close())
    const { port } = server.address() as { port: number }
    const worker = await work(redisUrl, ns, ['--port', String(port)])
    expect(await worker.waitForExit()).toEqual({ code: 69, signal: null })
    expect(worker.stderr).toMatch(new RegExp(`^resqueue: Port ${port} is taken`))
    expect(await keysUnder(redis, ns)).toEqual([])
  })

  test('an address that is not of this machine with 69', async ({ redisUrl, ns }) => {
    const worker = await work(redisUrl, ns, ['--host', '192.0.2.1', '--port', '0'])
    expect(await worker.waitForExit()).toEqual({ code: 69, signal: null })
    expect(worker.stderr).toMatch(/^resqueue: Port 0 of 192\.0\.2\.1 cannot be listened on: /)
  })

  test('a pid file that cannot be written with 78', async ({ redisUrl, ns }) => {
    const worker = await work(redisUrl, ns, ['--pidfile', '/no/such/folder/w.pid'])
    expect(await worker.waitForExit()).toEqual({ code: 78, signal: null })
    expect(worker.stderr).toContain('/no/such/folder/w.pid')
  })

  test('an absent Redis with 69 where --fail-fast says so, and waits for it elsewhere', async ({ ns }) => {
    const url = `redis://127.0.0.1:${await freePort()}`
    const [fast, patient] = await Promise.all([work(url, ns, ['--fail-fast']), work(url, ns, [])])
    expect(await fast.waitForExit()).toEqual({ code: 69, signal: null })
    expect(fast.stderr).toMatch(/^resqueue: Redis at redis:.* did not answer within 5 s/)
    await patient.waitForLine('Redis is unavailable; waiting for it')
    const { port } = logged(patient, 'health and metrics are served')
    expect(await run(['health', '--port', String(port)])).toMatchObject({ code: 0 })
    expect(await run(['health', '--port', String(port), '--ready'])).toMatchObject({ code: 1 })
    await patient.kill()
  })
})

/**
 * The system asks this file for other names of a host, and waits for as long as nobody writes to it: a look-up that
 * hangs.
 */
async function silentAliases(): Promise<string> {
  const file = join(await folder(), 'aliases')
  await promisify(execFile)('mkfifo', [file])
  return file
}

test.runIf(process.platform === 'linux')(
  'a look-up of Redis’ name that hangs holds no worker that is told to leave',
  async ({ ns }) => {
    const worker = await work('redis://nosuchhost:6379', ns, [], { HOSTALIASES: await silentAliases() })
    await worker.waitForLine('Redis is unavailable; waiting for it')
    worker.signal('SIGTERM')
    expect(await worker.waitForExit(15_000)).toEqual({ code: 0, signal: null })
    expect(worker.stdout).toContain('"msg":"worker stopped"')
  },
)
