import type { Redis } from 'ioredis'
import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { startRedis } from '../support/redis.ts'
import { cliOf } from './cli.ts'

const NOW = Date.now()

/** A worker process as it registers itself; its lease stands for a minute where it is alive. */
async function register(
  redis: Redis,
  ns: string,
  nonce: string,
  more: { alive: boolean; slots?: number; pod?: string },
): Promise<void> {
  const { alive, slots = 2, pod = '' } = more
  const registration = {
    nonce,
    name: `h.${nonce}`,
    tail: ':7:mail,critical',
    slots,
    instance: '',
    host: 'h',
    pid: 7,
    pid_namespace: '',
    boot_id: '',
    pod,
    pod_namespace: 'prod',
    pod_uid: '',
    container: '',
    started: NOW - 60_000,
    version: '0.1.0',
    isolation: 'fork',
  }
  await redis.hset(`${ns}:ext:processes`, nonce, JSON.stringify(registration))
  await redis.hset(`${ns}:ext:inflight:${nonce}`, 'registered', '1', 'k', '5')
  for (let slot = 0; slot < slots; slot++) await redis.sadd(`${ns}:workers`, `h.${nonce}.${slot}:7:mail,critical`)
  if (alive) await redis.set(`${ns}:ext:lease:${nonce}`, '1', 'PX', 60_000)
}

const RAW = '{"class":"Send","args":[1],"id":"job-1"}'

async function hold(redis: Redis, ns: string, nonce: string): Promise<void> {
  await redis.hset(`${ns}:ext:inflight:${nonce}`, '1', `5 ${NOW - 5000} 4 mail${RAW}`)
}

describe('workers', () => {
  test('are listed, ours and others', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    await register(redis, ns, 'aaaaaaaaaaaa', { alive: true, pod: 'mailers-1' })
    await hold(redis, ns, 'aaaaaaaaaaaa')
    await register(redis, ns, 'bbbbbbbbbbbb', { alive: false, slots: 1 })
    await redis.sadd(`${ns}:workers`, 'rb:9:mail')
    await redis.hset(`${ns}:workers:heartbeat`, 'rb:9:mail', '2026-11-22T18:24:39+00:00')
    const rows = (await cli('worker', 'ls', '-o', 'json')).json as Record<string, unknown>[]
    expect(rows.map(({ id, kind, state, busy, slots }) => [id, kind, state, busy, slots])).toEqual([
      ['aaaaaaaaaaaa', 'resqueue', 'busy', 1, 2],
      ['bbbbbbbbbbbb', 'resqueue', 'dead', 0, 1],
      ['rb:9:mail', 'foreign', 'idle', 0, 1],
    ])
    expect(rows[0]).toMatchObject({
      host: 'h',
      pid: 7,
      pod: 'mailers-1',
      queues: ['mail', 'critical'],
      version: '0.1.0',
      isolation: 'fork',
      running: [{ slot: 1, queue: 'mail', class: 'Send', id: 'job-1' }],
    })
    expect(rows[2]).toMatchObject({ heartbeat_at: '2026-11-22T18:24:39Z', started_at: null })
    const { stdout } = await cli('worker', 'ls')
    expect(stdout).toMatch(/^ID +HOST +PID +STATE +BUSY +STARTED +KIND +QUEUES\naaaaaaaaaaaa +h +7 +busy +1\/2 /)
    expect((await cli('worker', 'show', 'mailers-1')).stdout).toMatch(/^running +Send from mail, id job-1, for \d/m)
    expect((await cli('worker', 'show', 'rb:9:mail', '-o', 'json')).json).toMatchObject({
      kind: 'foreign',
      host: 'rb',
      pid: 9,
    })
    expect(await cli('worker', 'show', 'none')).toMatchObject({
      code: 1,
      stderr: 'resqueue: There is no worker none; resqueue worker ls shows them.\n',
    })
    expect((await cli('queue', 'ls', 'mail', '-o', 'json')).json).toMatchObject([{ queue: 'mail', running: 1 }])
    expect((await cli('job', 'show', 'job-1', '-o', 'json')).json).toMatchObject({
      status: null,
      places: [{ place: 'running', queue: 'mail', class: 'Send', worker: 'aaaaaaaaaaaa', host: 'h' }],
      complete: true,
    })
  })

  test('pause one by one', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    await register(redis, ns, 'aaaaaaaaaaaa', { alive: true })
    await redis.sadd(`${ns}:workers`, 'rb:9:mail')
    expect(await cli('worker', 'pause', 'aaaaaaaaaaaa')).toMatchObject({
      code: 0,
      stdout: 'aaaaaaaaaaaa (h, pid 7): paused\n',
    })
    expect(await redis.hget(`${ns}:ext:inflight:aaaaaaaaaaaa`, 'paused')).toBe('1')
    expect((await cli('worker', 'resume', 'h.aaaaaaaaaaaa', '-o', 'json')).json).toEqual([
      { id: 'aaaaaaaaaaaa', host: 'h', pid: 7, resumed: true },
    ])
    // A container that was started again, and another one: three workers, of which one is dead.
    await register(redis, ns, 'cccccccccccc', { alive: false, pod: 'mailers-1' })
    await register(redis, ns, 'dddddddddddd', { alive: true, pod: 'mailers-1' })
    await register(redis, ns, 'eeeeeeeeeeee', { alive: true, pod: 'mailers-1' })
    expect((await cli('worker', 'show', 'mailers-1', '-o', 'json')).json).toMatchObject({ state: 'idle' })
    const paused = (await cli('worker', 'pause', 'mailers-1', 'dddddddddddd', '-o', 'json')).json as { id: string }[]
    expect(paused.map(({ id }) => id).sort()).toEqual(['cccccccccccc', 'dddddddddddd', 'eeeeeeeeeeee'])
    expect(await redis.hget(`${ns}:ext:inflight:eeeeeeeeeeee`, 'paused')).toBe('1')
    expect(await cli('worker', 'pause')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('name workers, or say --all'),
    })
    expect(await cli('worker', 'pause', 'x', '--all')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('not both'),
    })
    expect(await cli('worker', 'pause', 'none')).toMatchObject({ code: 1 })
    expect(await cli('worker', 'pause', 'rb:9:mail')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('of another program'),
    })
  })

  test('pause all at once', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    expect(await cli('worker', 'pause', '--all')).toMatchObject({ code: 0 })
    expect(await redis.get(`${ns}:pause-all-workers`)).toBe('true')
    expect(await cli('worker', 'ls')).toMatchObject({ stderr: expect.stringContaining('All workers are paused') })
    expect((await cli('stats', '-o', 'json')).json).toMatchObject({ all_paused: true })
    await register(redis, ns, 'aaaaaaaaaaaa', { alive: true })
    await cli('worker', 'pause', 'aaaaaaaaaaaa')
    expect(await cli('worker', 'resume', '--all')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('paused one by one stay paused'),
    })
    expect(await redis.exists(`${ns}:pause-all-workers`)).toBe(0)
    expect((await cli('worker', 'show', 'aaaaaaaaaaaa', '-o', 'json')).json).toMatchObject({ state: 'paused' })
  })

  test('that are dead are pruned and their jobs put back, the living left alone', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    await register(redis, ns, 'aaaaaaaaaaaa', { alive: true })
    await register(redis, ns, 'bbbbbbbbbbbb', { alive: false })
    await hold(redis, ns, 'bbbbbbbbbbbb')
    await redis.sadd(`${ns}:workers`, 'h.cccccccccccc.0:9:mail', 'rb:9:mail')
    expect((await cli('worker', 'prune', '--dry-run', '-o', 'json')).json).toEqual([
      { id: 'bbbbbbbbbbbb', host: 'h', pid: 7, jobs: 1 },
      { id: 'h.cccccccccccc.0:9:mail', host: null, pid: null, jobs: 0 },
    ])
    expect((await cli('worker', 'prune', '-o', 'json')).json).toEqual({
      workers: 1,
      put_back: 1,
      failed: 0,
      quarantined: 0,
      stray_registrations: 1,
    })
    expect(await redis.lrange(`${ns}:queue:mail`, 0, -1)).toEqual([RAW])
    expect(await redis.hkeys(`${ns}:ext:processes`)).toEqual(['aaaaaaaaaaaa'])
    expect((await redis.smembers(`${ns}:workers`)).sort()).toEqual([
      'h.aaaaaaaaaaaa.0:7:mail,critical',
      'h.aaaaaaaaaaaa.1:7:mail,critical',
      'rb:9:mail',
    ])
  })
})

test('a prune goes on with the others where Redis refuses one, and ends with what it refused', async ({
  redis,
  redisUrl,
  ns,
}) => {
  for (const nonce of ['aaaaaaaaaaaa', 'bbbbbbbbbbbb', 'cccccccccccc'])
    await register(redis, ns, nonce, { alive: false })
  await hold(redis, ns, 'bbbbbbbbbbbb')
  for (const nonce of ['aaaaaaaaaaaa', 'cccccccccccc']) await redis.set(`${ns}:ext:inflight:${nonce}`, 'x')
  await redis.sadd(`${ns}:workers`, 'h.dddddddddddd.0:9:mail')
  const ran = await cliOf(redisUrl, ns)('worker', 'prune', '-o', 'json')
  expect(ran.code).toBe(69)
  expect(ran.json).toMatchObject({ workers: 1, put_back: 1, stray_registrations: 1 })
  expect(ran.stderr.trim().split('\n').sort()).toEqual(
    ['aaaaaaaaaaaa', 'cccccccccccc'].map((nonce): unknown =>
      expect.stringMatching(
        `^Worker ${nonce} was left with what ${ns}:ext:inflight:${nonce} holds: .*WRONGTYPE.*again$`,
      ),
    ),
  )
  expect(await redis.lrange(`${ns}:queue:mail`, 0, -1)).toEqual([RAW])
})

test('a prune that may not remove stray registrations says so', async () => {
  const server = await startRedis()
  const admin = server.client()
  await admin.call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all', '-srem')
  await admin.sadd('x:workers', 'h.dddddddddddd.0:9:mail')
  const ran = await cliOf(`redis://app:pw@127.0.0.1:${server.port}`, 'x')('worker', 'prune', '-o', 'json')
  expect(ran).toMatchObject({
    code: 69,
    json: { workers: 0, stray_registrations: 0 },
    stderr: expect.stringMatching(/^Stray registrations were left: .*resqueue doctor --acl/),
  })
  expect(await admin.scard('x:workers')).toBe(1)
})

test('a job is found by its id wherever it is', async ({ redis, redisUrl, ns }) => {
  const cli = cliOf(redisUrl, ns)
  await cli('enqueue', 'mail', 'Send', '--id', 'one', '--track')
  await cli('enqueue', 'mail', 'Send', '--id', 'two', '--in', '1h')
  expect((await cli('job', 'show', 'one', '-o', 'json')).json).toMatchObject({
    id: 'one',
    status: { state: 'waiting', result: null },
    places: [{ place: 'waiting', queue: 'mail', class: 'Send', position: 0 }],
  })
  expect((await cli('job', 'show', 'two')).stdout).toMatch(/^found +due at .* in mail$/m)
  await redis.del(`${ns}:queue:mail`)
  // So it is when a PHP worker took the job and another one pruned that worker.
  await redis.set(`${ns}:job:one:status`, '{"status":2,"updated":1795371757,"started":1795371750,"result":null}')
  expect((await cli('job', 'show', 'one')).stdout).toMatch(
    /^found +in no list: it ended or was lost in a worker of an/m,
  )
  await redis.set(`${ns}:job:one:status`, '{"status":4,"updated":1795371757,"started":1795371750,"result":{"sent":2}}')
  expect((await cli('job', 'show', 'one')).stdout).toMatch(
    /^status +complete, since 2026-11-22T18:22:37Z\n.*\nresult +\{"sent":2\}\nfound +in no list: it has ended$/m,
  )
  await redis.sadd(`${ns}:failed_queues`, 'mail_failed')
  await redis.rpush(
    `${ns}:mail_failed`,
    '{"payload":{"class":"Send","id":"four"},"queue":"mail","exception":"E","error":"no"}',
  )
  expect((await cli('job', 'show', 'four')).stdout).toMatch(
    /^found +failed at unknown, index 0 of --list mail: E: no$/m,
  )
  await redis.rpush(`${ns}:ext:quarantine`, '1795371757491 4 mail{"id":"five"}')
  expect((await cli('job', 'show', 'five', '-o', 'json')).json).toMatchObject({
    places: [{ place: 'quarantine', queue: 'mail', index: 0, reason: 'it has no "class" that is a string' }],
  })
  expect(await cli('job', 'show', 'three')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no trace of job three: it never was, or ended without a status to keep'),
  })
})

test('stats count', async ({ redis, redisUrl, ns }) => {
  const cli = cliOf(redisUrl, ns)
  await redis.mset(`${ns}:stat:processed`, '1234567', `${ns}:stat:failed`, '5')
  await cli('enqueue', 'mail', 'Send')
  await cli('queue', 'pause', 'mail')
  expect((await cli('stats', '-o', 'json')).json).toEqual({
    processed: 1_234_567,
    failed: 5,
    queues: 1,
    waiting_jobs: 1,
    failed_jobs: 0,
    retry_jobs: 0,
    delayed_timestamps: 0,
    quarantined_jobs: 0,
    workers: 0,
    processes: 0,
    all_paused: false,
    paused_queues: ['mail'],
  })
  expect((await cli('stats')).stdout).toMatch(/^processed +1,234,567$/m)
  const many = Array.from({ length: 10_000 }, (_, i) => `queue-${i}`)
  await redis.sadd(`${ns}:queues`, ...many, 'the last one')
  await redis.rpush(`${ns}:queue:the last one`, RAW)
  await redis.set(`${ns}:ext:paused`, JSON.stringify(many))
  const { stdout } = await cli('stats')
  expect(stdout).toMatch(/^waiting jobs +2$/m)
  expect(stdout).toMatch(/^paused +queue-0, .*, queue-9 and 9990 more$/m)
})
