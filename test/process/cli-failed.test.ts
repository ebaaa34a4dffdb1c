import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { spawnCli, spawnCommand } from '../support/process.ts'
import { startProxy } from '../support/proxy.ts'
import { own } from '../support/scope.ts'
import { latch, waitFor } from '../support/wait.ts'
import { cliOf } from './cli.ts'

const payload = (name: string, i: number): string => `{"class":"${name}","args":[${i},1.10],"id":"id-${i}"}`

function entry(name: string, i: number, more = ''): string {
  return `{"failed_at":"2026/11/2${i % 10} 18:25:21 UTC","payload":${payload(name, i)},"exception":"E${i}","error":"No \\u001b[31mroute","backtrace":["a","b"],"worker":"h:1:q","queue":"q"${more}}`
}

async function seed(redis: Redis, ns: string): Promise<void> {
  await redis.rpush(
    `${ns}:failed`,
    entry('A', 0),
    entry('B', 1),
    entry('A', 2),
    '',
    entry('A', 4, ',"exit_code":3,"stderr":"last words"'),
  )
}

describe('failed jobs', () => {
  test('are listed, the newest first, and filtered', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    await seed(redis, ns)
    const listed = await cli('failed', 'ls')
    expect(listed.stdout.split('\n').map((line) => line.trim().split(/\s+/)[0])).toEqual([
      'INDEX',
      '4',
      '3',
      '2',
      '1',
      '0',
      '',
    ])
    expect(listed.stdout).toContain('No \\u001b[31mroute')
    const indexes = async (...words: string[]): Promise<unknown> =>
      ((await cli('failed', 'ls', ...words, '-o', 'json')).json as { index: number }[]).map(({ index }) => index)
    expect(await indexes('--class', 'A')).toEqual([4, 2, 0])
    expect(await indexes('--class', 'A', '--limit', '2')).toEqual([4, 2])
    expect(await indexes('--error', 'e1: NO')).toEqual([1])
    expect(await indexes('--since', '2026-11-22T00:00:00Z')).toEqual([4, 2])
    expect(await indexes('--until', '2026-11-21T18:00:00Z')).toEqual([0])
    expect(await indexes('--queue', 'other')).toEqual([])
  })

  test('are shown whole, by index and by id', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    await seed(redis, ns)
    const { stdout } = await cli('failed', 'show', '4')
    expect(stdout).toMatch(/^id +id-4$/m)
    expect(stdout).toMatch(/^stderr +last words$/m)
    expect(stdout).toMatch(/^backtrace +a\n +b$/m)
    expect((await cli('failed', 'show', 'id-4', '-o', 'json')).json).toEqual({
      index: 4,
      id: 'id-4',
      failed_at: '2026-11-24T18:25:21Z',
      queue: 'q',
      class: 'A',
      exception: 'E4',
      error: 'No \u001b[31mroute',
      worker: 'h:1:q',
      attempt: null,
      exit_code: 3,
      signal: null,
      peak_memory_bytes: null,
      retried_at: null,
      backtrace: ['a', 'b'],
      stderr: 'last words',
      payload: { class: 'A', args: [4, 1.1], id: 'id-4' },
      entry: entry('A', 4, ',"exit_code":3,"stderr":"last words"'),
    })
    expect(await cli('failed', 'show', '3')).toMatchObject({ code: 0 })
    expect(await cli('failed', 'show', '9')).toMatchObject({
      code: 1,
      stderr: 'resqueue: There is no failed job at index 9.\n',
    })
    expect(await cli('failed', 'show', 'id-9')).toMatchObject({
      code: 1,
      stderr: 'resqueue: There is no failed job with the id id-9.\n',
    })
    await redis.sadd(`${ns}:failed_queues`, 'mail_failed', 'a_failed')
    expect(await cli('failed', 'show', 'id-9')).toMatchObject({
      code: 1,
      stderr:
        'resqueue: There is no failed job with the id id-9. Some queues have a failed list of their own; --list names it: a, mail\n',
    })
    expect(await cli('failed', 'show', 'id-9', '--list', 'a')).toMatchObject({
      code: 1,
      stderr: 'resqueue: There is no failed job with the id id-9.\n',
    })
    expect(await cli('failed', 'ls', '--class', 'None', '-o', 'json')).toMatchObject({
      stdout: '[]\n',
      stderr: 'Some queues have a failed list of their own; --list names it: a, mail\n',
    })
    expect(await cli('failed', 'ls', '--list', 'a', '-o', 'json')).toMatchObject({ stdout: '[]\n', stderr: '' })
  })

  test('go back to their queues byte for byte', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    await seed(redis, ns)
    expect(await cli('failed', 'retry')).toMatchObject({ code: 64, stderr: expect.stringContaining('say which') })
    expect(await cli('failed', 'retry', '--class', 'A')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('needs --yes'),
    })
    expect(await cli('failed', 'retry', '--all', '--class', 'A')).toMatchObject({ code: 64 })
    expect(await cli('failed', 'retry', '1', '--all')).toMatchObject({ code: 64 })
    expect(await cli('failed', 'retry', '9')).toMatchObject({ code: 1 })
    expect(await cli('failed', 'retry', '--class', 'A', '--dry-run')).toMatchObject({
      code: 0,
      stdout: '3 failed jobs would be retried\n',
    })
    expect(await redis.llen(`${ns}:failed`)).toBe(5)
    expect(await cli('failed', 'retry', 'id-2', '0', '2')).toMatchObject({
      code: 0,
      stdout: '2 failed jobs retried\n',
    })
    expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([payload('A', 0), payload('A', 2)])
    expect((await cli('failed', 'retry', '--all', '--yes', '-o', 'json')).json).toEqual({
      retried: 2,
      skipped: 1,
      dry_run: false,
      interrupted: false,
    })
    expect(await redis.lrange(`${ns}:failed`, 0, -1)).toEqual([''])
    expect(await cli('failed', 'retry', '--class', 'A', '--yes')).toMatchObject({
      code: 1,
      stdout: '0 failed jobs retried\n',
    })
  })

  test('that were named go back the oldest first, as many as --limit says, each once though equal', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const cli = cliOf(redisUrl, ns)
    await redis.rpush(`${ns}:failed`, '', entry('A', 1), entry('A', 1), entry('A', 3), entry('A', 4), entry('A', 1))
    const words = ['failed', 'retry', '4', '0', '2', '2', '3', '--limit', '2']
    expect(await cli(...words, '--dry-run')).toMatchObject({
      stdout: '2 failed jobs would be retried; 1 entry left out because no job can be read from them\n',
    })
    expect(await cli(...words)).toMatchObject({ code: 0, stdout: expect.stringContaining('2 failed jobs retried;') })
    expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([payload('A', 1), payload('A', 3)])
    expect(await redis.lrange(`${ns}:failed`, 0, -1)).toEqual(['', entry('A', 1), entry('A', 4), entry('A', 1)])
    expect(await cli('failed', 'rm', '3', '0', '1', '--yes')).toMatchObject({ stdout: '3 failed jobs removed\n' })
    expect(await redis.lrange(`${ns}:failed`, 0, -1)).toEqual([entry('A', 4)])
  })

  test('are removed with --yes only', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    await seed(redis, ns)
    expect(await cli('failed', 'rm', '0')).toMatchObject({ code: 64, stderr: expect.stringContaining('needs --yes') })
    expect(await cli('failed', 'rm', '--class', 'A', '--limit', '1', '--yes')).toMatchObject({
      code: 0,
      stdout: '1 failed job removed\n',
    })
    expect(await cli('failed', 'rm', '--all', '--yes')).toMatchObject({ stdout: '4 failed jobs removed\n' })
    expect(await redis.exists(`${ns}:failed`)).toBe(0)
  })

  test('that are named by id are removed wherever they stand when a person has answered', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    await redis.rpush(`${ns}:failed`, entry('A', 1), entry('A', 2), entry('A', 3), entry('A', 4))
    const folder = mkdtempSync(join(tmpdir(), 'resqueue-'))
    own('folder', () => rmSync(folder, { recursive: true, force: true }))
    const [screen, command] = [join(folder, 'screen'), `"${process.execPath}" src/bin.ts failed rm id-2 id-4`]
    const terminal = spawnCommand('script', ['-qefc', command, screen], { env: { REDIS_URL: redisUrl, PREFIX: ns } })
    await waitFor(() => existsSync(screen) && readFileSync(screen, 'utf8').includes('Remove 2 failed jobs? [y/N]'))
    await redis.lpop(`${ns}:failed`)
    terminal.stdin.end('y\n')
    expect(await terminal.waitForExit()).toMatchObject({ code: 0 })
    expect(terminal.stdout).toContain('2 failed jobs removed')
    expect(await redis.lrange(`${ns}:failed`, 0, -1)).toEqual([entry('A', 3)])
  })

  test('of one queue have a list of their own', async ({ redis, redisUrl, ns }) => {
    await redis.rpush(`${ns}:q_failed`, entry('A', 1))
    expect(await cliOf(redisUrl, ns)('failed', 'retry', '--all', '--list', 'q', '--yes')).toMatchObject({
      stdout: '1 failed job retried\n',
    })
    expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([payload('A', 1)])
  })

  test('that are many stop at Ctrl-C with a count, none lost and none doubled', async ({ redis, redisUrl, ns }) => {
    const total = 40_000
    for (let i = 0; i < total; i += 10_000)
      await redis.rpush(`${ns}:failed`, ...Array.from({ length: 10_000 }, (_, n) => entry('A', i + n)))
    const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
    const go = latch()
    let calls = 0
    const held = proxy.on(({ name }) => name === 'EVALSHA' && ++calls === 4, {
      kind: 'hold-request',
      until: go.promise,
    })
    const child = spawnCli(['failed', 'retry', '--all', '--yes', '-o', 'json'], {
      env: { REDIS_URL: proxy.url, PREFIX: ns },
    })
    await held.hit
    child.signal('SIGINT')
    go.open()
    expect(await child.waitForExit()).toEqual({ code: 130, signal: null })
    const { retried, interrupted } = JSON.parse(child.stdout) as { retried: number; interrupted: boolean }
    expect(interrupted).toBe(true)
    expect(retried).toBeGreaterThan(0)
    expect(await redis.llen(`${ns}:queue:q`)).toBe(retried)
    expect(await redis.llen(`${ns}:failed`)).toBe(total - retried)
  })
})

test('a listing says where it leaves something out that fits, and only there', async ({ redis, redisUrl, ns }) => {
  const cli = cliOf(redisUrl, ns)
  const names = ['A', 'B', 'A', 'B', 'A', 'B']
  for (const [i, name] of names.entries()) {
    await redis.rpush(`${ns}:failed`, entry(name, i))
    await redis.rpush(`${ns}:ext:quarantine`, `1795371757491 1 ${name}junk`)
    await redis.zadd(`${ns}:ext:retry`, 2_208_988_800_000, `aaaaaaaaaaaa.${i} 1 1 7 qE: oops${payload(name, i)}`)
  }
  const said = async (...words: string[]): Promise<string> => (await cli(...words)).stderr
  const all = '--limit 0 shows all\n'
  expect(await said('failed', 'ls', '--limit', '1')).toBe(`The newest 1 of 6 failed jobs; ${all}`)
  expect(await said('failed', 'ls', '--class', 'A', '--limit', '1')).toBe(`The newest 1 failed jobs; ${all}`)
  expect(await said('failed', 'ls', '--class', 'A', '--limit', '3')).toBe('')
  expect(await said('retry', 'ls', '--limit', '1')).toBe(`The first 1 of 6 retries; ${all}`)
  expect(await said('retry', 'ls', '--class', 'A', '--limit', '1')).toBe(`The first 1 retries; ${all}`)
  expect(await said('retry', 'ls', '--class', 'A', '--limit', '3')).toBe('')
  expect(await said('quarantine', 'ls', '--limit', '1')).toBe(`The first 1 of 6 payloads; ${all}`)
  expect(await said('quarantine', 'ls', '--queue', 'A', '--limit', '1')).toBe(`The first 1 payloads; ${all}`)
  expect(await said('quarantine', 'ls', '--queue', 'A', '--limit', '3')).toBe('')
})

test('quarantined payloads are shown, released and removed', async ({ redis, redisUrl, ns }) => {
  const cli = cliOf(redisUrl, ns)
  const element = (queue: string, raw: string): string => `1795371757491 ${queue.length} ${queue}${raw}`
  await redis.rpush(`${ns}:ext:quarantine`, element('q', 'junk'), element('p', '{"a":1}'), element('q', '[]'))
  expect((await cli('quarantine', 'ls', '--queue', 'q', '-o', 'json')).json).toEqual([
    {
      index: 0,
      quarantined_at: '2026-11-22T18:22:37Z',
      queue: 'q',
      reason: expect.stringContaining('not JSON'),
      payload: 'junk',
    },
    { index: 2, quarantined_at: '2026-11-22T18:22:37Z', queue: 'q', reason: 'it is not a JSON object', payload: '[]' },
  ])
  expect((await cli('quarantine', 'show', '1')).stdout).toMatch(/^payload +\{"a":1\}$/m)
  expect(await cli('quarantine', 'show', '7')).toMatchObject({ code: 1 })
  expect(await cli('quarantine', 'show', 'x')).toMatchObject({ code: 64 })
  expect(await cli('quarantine', 'release')).toMatchObject({ code: 64 })
  expect(await cli('quarantine', 'release', '--all')).toMatchObject({
    code: 64,
    stderr: expect.stringContaining('--yes'),
  })
  expect(await cli('quarantine', 'release', '2', '0')).toMatchObject({
    code: 0,
    stdout: '2 quarantined payloads released\n',
  })
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(['junk', '[]'])
  expect(await cli('quarantine', 'rm', '0')).toMatchObject({ code: 64 })
  expect((await cli('quarantine', 'rm', '0', '--yes', '-o', 'json')).json).toEqual({
    removed: 1,
    skipped: 0,
    dry_run: false,
    interrupted: false,
  })
  expect(await cli('quarantine', 'rm', '--all', '--yes')).toMatchObject({ code: 1 })
})

test('retries are listed and removed', async ({ redis, redisUrl, ns }) => {
  const cli = cliOf(redisUrl, ns)
  const member = (claim: string, i: number): string => `${claim} 1 1 7 qE: oops${payload('A', i)}`
  await redis.zadd(
    `${ns}:ext:retry`,
    2_208_988_800_000,
    member('aaaaaaaaaaaa.1', 1),
    2_208_988_801_000,
    member('aaaaaaaaaaaa.2', 2),
  )
  expect((await cli('retry', 'ls', '-o', 'json')).json).toEqual(
    [1, 2].map((i) => ({
      claim: `aaaaaaaaaaaa.${i}`,
      due_at: `2040-01-01T00:00:0${i - 1}Z`,
      attempt: 1,
      queue: 'q',
      class: 'A',
      id: `id-${i}`,
      error: 'E: oops',
      payload: payload('A', i),
    })),
  )
  expect(await cli('retry', 'ls', '--limit', '1')).toMatchObject({
    stderr: 'The first 1 of 2 retries; --limit 0 shows all\n',
  })
  expect(await cli('retry', 'rm')).toMatchObject({ code: 64 })
  expect(await cli('retry', 'rm', '--class', 'A')).toMatchObject({
    code: 64,
    stderr: expect.stringContaining('Remove retries'),
  })
  expect(await cli('retry', 'rm', 'aaaaaaaaaaaa.2', '--yes')).toMatchObject({ code: 0, stdout: '1 retry removed\n' })
  expect(await cli('retry', 'rm', '--id', 'id-1', '--yes')).toMatchObject({ code: 0 })
  expect(await cli('retry', 'rm', '--all', '--yes')).toMatchObject({ code: 1, stdout: '0 retries removed\n' })
})
