import { writeFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { spawnCli } from '../support/process.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'
import { run } from './cli.ts'

interface Finding {
  readonly id: string
  readonly level: string
  readonly finding: string
  readonly advice: string
}

const healthy = (args: readonly string[] = []): Promise<RedisServer> =>
  startRedis({ args: ['--appendonly', 'yes', ...args] })

/** Exit code, and findings by their ids. */
async function examine(
  url: string,
  ...words: string[]
): Promise<{ code: number | null; found: Record<string, Finding> }> {
  const { code, stdout } = await run(['doctor', '-o', 'json', '--redis', url, ...words])
  return { code, found: Object.fromEntries((JSON.parse(stdout) as Finding[]).map((finding) => [finding.id, finding])) }
}

describe('the doctor', () => {
  test('finds nothing where all is well', async () => {
    const { url } = await healthy()
    expect(await examine(url)).toEqual({ code: 0, found: {} })
    expect(await run(['doctor', '--redis', url])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^All is well at redis:/),
    })
  })

  test('finds settings that lose jobs', async () => {
    const server = await startRedis({ args: ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru'] })
    const { code, found } = await examine(server.url)
    expect(code).toBe(2)
    expect(found).toMatchObject({ 'eviction-policy': { level: 'error' }, persistence: { level: 'error' } })
    const redis = server.client()
    await redis.config('SET', 'save', '60 1', 'maxmemory-policy', 'noeviction', 'maxmemory', '1')
    expect((await examine(server.url)).found).toMatchObject({
      persistence: { level: 'warning' },
      'memory-headroom': { level: 'error' },
    })
    await redis.config('SET', 'maxmemory', '0', 'maxclients', '2')
    expect((await examine(server.url)).found).toMatchObject({ 'max-clients': { level: 'warning' } })
    expect(await run(['doctor', '--redis', server.url])).toMatchObject({
      code: 2,
      stdout: expect.stringMatching(/^warning {2}persistence: .*\n {9}CONFIG SET appendonly yes/m),
    })
  })

  test('tells a replica and one that lags behind', async () => {
    const primary = await healthy()
    const replica = await healthy(['--replicaof', '127.0.0.1', `${primary.port}`, '--repl-diskless-sync-delay', '0'])
    await waitFor(async () => (await replica.client().info('replication')).includes('master_link_status:up'))
    expect((await examine(replica.url)).found).toMatchObject({ replica: { level: 'error' } })
    await waitFor(async () => (await primary.client().info('replication')).includes('state=online'))
    expect(await examine(primary.url)).toMatchObject({ code: 0, found: { 'min-replicas': { level: 'note' } } })
  })

  test('finds what breaks others, ghosts, and what lies about', async () => {
    const server = await healthy()
    const redis = server.client()
    await redis.sadd('resque:workers', 'bad', 'h:1:', 'h:2:!x', 'rb:7:mail', 'vm.0123456789ab.0:5:q')
    await redis.hset('resque:workers:heartbeat', 'rb:7:mail', '2026-01-01T10:00:00+00:00', 'x:1:q', '1795371933')
    await redis.set('resque:worker:rb:7:mail', 'no json')
    await redis.hset(
      'resque:ext:processes',
      'bbbbbbbbbbbb',
      '{"nonce":"bbbbbbbbbbbb","name":"h.bbbbbbbbbbbb","tail":":7:q","slots":1,"host":"h","pid":7}',
    )
    await redis.rpush('resque:failed', '{"payload":[],"failed_at":12}')
    await redis.rpush('resque:ext:quarantine', '1795371757491 1 qjunk')
    await redis.set('resque:resque:resque_scheduler_master_lock', 'host:1')
    await redis.set('resque:resque_scheduler_leader_lock', 'n1', 'EX', 100)
    await redis.zadd('resque:delayed_queue_schedule', 1_795_371_757, '1795371757')
    await redis.zadd('resque:ext:retry', 1_795_371_757_000, 'aaaaaaaaaaaa.1 1 1 1 qx{}')
    await redis.rpush('resque:queue:mail:temp:123', '{}')
    await redis.sadd('resque:queues', 'lonely')
    await redis.rpush('resque:queue:lonely', 'junk')
    await redis.set('resque:pause-all-workers', ' TRUE')
    await redis.set('resque:stat:processed', '1')
    const { code, found } = await examine(server.url)
    expect(code).toBe(2)
    expect(Object.fromEntries(Object.entries(found).map(([id, { level }]) => [id, level]))).toEqual({
      'malformed-workers': 'error',
      'malformed-working': 'error',
      'unreadable-heartbeats': 'error',
      'dead-workers': 'warning',
      'delayed-overdue': 'warning',
      'malformed-failures': 'warning',
      quarantine: 'warning',
      'retry-overdue': 'warning',
      'stale-heartbeats': 'warning',
      'stranded-jobs': 'warning',
      'stray-registrations': 'warning',
      'unreadable-jobs': 'warning',
      'unserved-queues': 'warning',
      'foreign-scheduler': 'note',
      paused: 'note',
    })
    expect(found['malformed-workers']?.finding).toMatch(/^3 members/)
    expect(found['stray-registrations']?.finding).toContain('vm.0123456789ab.0:5:q')
    expect(found['stranded-jobs']?.finding).toContain('resque:queue:mail:temp:123')
  })

  test('tells keys of another type, and looks on', async () => {
    const server = await healthy()
    await server.client().set('resque:queues', 'x')
    const { code, found } = await examine(server.url)
    expect(code).toBe(2)
    expect(found).toMatchObject({
      'wrong-type': { finding: expect.stringContaining('resque:queues is a string, not a set') },
      'not-checked': { level: 'note' },
    })
  })

  test('names a key of another type among the lists of queues and of delayed jobs', async () => {
    const server = await healthy()
    const redis = server.client()
    await redis.zadd('resque:delayed_queue_schedule', 77, '77')
    await redis.sadd('resque:queues', 'q')
    await redis.mset('resque:delayed:77', 'x', 'resque:queue:q', 'x')
    await redis.zadd('resque:ext:retry', '+inf', 'aaaaaaaaaaaa.1 1 1 1 qx{}') // never due
    const finding = expect.stringMatching(/resque:delayed:77 is a string, not a list, resque:queue:q is/) as string
    const { found } = await examine(server.url)
    expect(found).toMatchObject({ 'wrong-type': { finding } })
    expect(found).not.toHaveProperty('retry-overdue')
  })

  test('examines a cluster, and wants a hash tag for it', async () => {
    const { url, nodes } = await startCluster()
    const env = { REDIS_URL: url, PREFIX: '{resque}' }
    expect(await run(['enqueue', 'q', 'Ok'], { env })).toMatchObject({ code: 0 })
    expect((await run(['queue', 'ls'], { env })).stdout).toMatch(/^q +1 /m)
    expect(Object.keys((await examine(url, '--namespace', '{resque}')).found)).toEqual([
      'persistence',
      'unserved-queues',
    ])
    expect((await examine(nodes[0]?.url ?? '')).found).toMatchObject({ 'cluster-namespace': { level: 'error' } })
    const rule = await run(['doctor', '--acl', '--namespace', '{ns}', '--redis', 'REDIS-CLUSTER://h'])
    expect(rule.stdout).toContain('+cluster|slots')
  })

  test('prints an ACL rule with which everything works, and finds what is missing without it', async () => {
    const server = await healthy()
    const admin = server.client()
    const { rule } = JSON.parse((await run(['doctor', '--acl', '-o', 'json', '--namespace', 'ns'])).stdout) as {
      rule: string
    }
    await admin.call('acl', 'setuser', 'resqueue', ...rule.replace('>PASSWORD', '>pw').split(' '))
    await admin.call(
      'acl',
      'setuser',
      'poor',
      'on',
      '>pw',
      '~ns:*',
      '-@all',
      '+acl|whoami',
      '+acl|dryrun',
      '+info',
      '+time',
      '+select',
      '+client|setname',
      '+evalsha',
      '+eval',
    )
    const env = { REDIS_URL: `redis://resqueue:pw@127.0.0.1:${server.port}`, PREFIX: 'ns' }
    const dir = await mkdtemp(join(tmpdir(), 'resqueue-cli-'))
    own('folder', () => rm(dir, { recursive: true, force: true }))
    await writeFile(
      join(dir, 'jobs.mjs'),
      'export class Ok { perform() {} }\nexport class Bad { perform() { throw new Error("no") } }\n',
    )
    for (const words of [['Ok', '--track'], ['Bad', '--retry', '2'], ['Bad'], ['Ok', '--in', '0']])
      await run(['enqueue', 'q', ...words], { env })
    const worker = spawnCli(
      ['work', '--queues', '*', '--jobs', join(dir, 'jobs.mjs'), '--port', '0', '--isolation', 'inline'],
      { env },
    )
    await worker.waitForLine('worker started')
    await waitFor(async () => (await admin.get('ns:stat:processed')) === '4')
    for (const words of [
      'queue ls',
      'queue pause q',
      'queue resume q',
      'worker ls',
      'worker pause --all',
      'worker resume --all',
      'failed retry --all --yes',
      'retry rm --all --yes',
      'stats',
      'job show x',
    ]) {
      expect((await run(words.split(' '), { env })).stderr).not.toContain('NOPERM')
    }
    expect(await run(['doctor'], { env })).toMatchObject({ code: 0, stdout: expect.stringContaining('All is well') })
    expect(await worker.stop()).toEqual({ code: 0, signal: null })
    expect(worker.stdout + worker.stderr).not.toContain('NOPERM')
    expect(await admin.call('acl', 'log')).toEqual([])
    const { code, found } = await examine(`redis://poor:pw@127.0.0.1:${server.port}`, '--namespace', 'ns')
    expect(code).toBe(2)
    expect(found['acl']).toMatchObject({ level: 'error', finding: expect.stringContaining('blpop') })
  })
})
