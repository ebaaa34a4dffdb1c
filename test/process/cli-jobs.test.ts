import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { spawnCli } from '../support/process.ts'
import { keysUnder } from '../support/redis.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'
import { cliOf } from './cli.ts'

describe('enqueue', () => {
  test('prints the id of a job that stands in its queue', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    const { code, stdout } = await cli(
      'enqueue',
      'mail',
      'SendEmail',
      '{"to":"ann"}',
      '[1,2]',
      '--track',
      '--retry',
      '3',
      '--timeout',
      '1m',
    )
    expect(code).toBe(0)
    const id = stdout.trim()
    expect(id).toMatch(/^[0-9a-f]{32}$/)
    const [raw = ''] = await redis.lrange(`${ns}:queue:mail`, 0, -1)
    expect(JSON.parse(raw)).toMatchObject({
      class: 'SendEmail',
      args: [{ to: 'ann' }, [1, 2]],
      id,
      x: { retry: { attempts: 3 }, timeout: 60 },
    })
    expect(await redis.exists(`${ns}:job:${id}:status`)).toBe(1)
    expect((await cli('enqueue', 'mail', 'Plain', '--id', 'my-id', '-o', 'json')).json).toEqual({
      id: 'my-id',
      queue: 'mail',
    })
  })

  test('takes a time, in the words of delayed jobs', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    await cli('enqueue', 'mail', 'A', '--at', '2040-01-01T00:00:00Z')
    expect(await redis.zscore(`${ns}:delayed_queue_schedule`, '2208988800')).toBe('2208988800')
    expect((await cli('delayed', 'ls', '-o', 'json')).json).toMatchObject([
      { due_at: '2040-01-01T00:00:00Z', queue: 'mail', class: 'A' },
    ])
    expect((await cli('delayed', 'ls')).stdout).toMatch(
      /^DUE AT +QUEUE +CLASS +ID +ARGS\n2040-01-01T00:00:00Z +mail +A +[0-9a-f]{32} +\[\]\n$/,
    )
  })

  test.for([
    [['mail', 'A', 'ann'], `argument 1 (ann): it is not JSON; a string is written '"ann"'`],
    [['mail', 'A', '12345678901234567'], 'more digits than a number keeps'],
    [['mail', 'A', '-1'], 'write -- in front of operands'],
    [['mail'], 'something is missing'],
    [['mail', 'A', '--at', 'tomorrow'], '--at: "tomorrow" is not a time'],
    [['mail', 'A', '--at', '2030-02-30'], '--at: "2030-02-30" is not a time'],
    [['mail', 'A', '--in', '1h', '--at', '2040-01-01'], 'either --at or --in'],
    [['mail', 'A', '--retry', '0'], 'attempts'],
    [['', 'A'], 'Jobs must be put in a queue'],
    [['mail\ufffd', 'A'], '"mail\ufffd" is not UTF-8'], // what Node makes of a byte that is none
    [['mail', 'A', '--id', '\ufffd'], 'is not UTF-8'],
    [['mail', 'A', '['.repeat(50_000) + ']'.repeat(50_000)], 'nested deeper than 900 levels'],
    [['mail', 'A', '--from', 'x', '1'], 'with --from the arguments stand in the file'],
    [['mail', 'A', '--from', '/no/such/file'], '/no/such/file cannot be read'],
  ] as const)('refuses %j', async ([words, said], { redis, redisUrl, ns }) => {
    const { code, stderr } = await cliOf(redisUrl, ns)('enqueue', ...words)
    expect(code).toBe(64)
    expect(stderr).toContain(said)
    expect(await redis.exists(`${ns}:queues`)).toBe(0)
  })

  test('reads jobs from standard input, in order, and says how many', async ({ redis, redisUrl, ns }) => {
    const lines = Array.from({ length: 2500 }, (_, i) => `{"args":[${i}]}`)
    lines.push('', '{"queue":"other","class":"B","at":"2040-01-01"}')
    const ran = await cliOf(redisUrl, ns, lines.join('\r\n'))('enqueue', 'mail', 'A', '--from', '-')
    expect(ran).toMatchObject({ code: 0, stdout: '2,501 jobs enqueued\n', stderr: '' })
    const raws = await redis.lrange(`${ns}:queue:mail`, 0, -1)
    expect(raws.map((raw) => (JSON.parse(raw) as { args: number[] }).args[0])).toEqual(
      Array.from({ length: 2500 }, (_, i) => i),
    )
    expect(await redis.llen(`${ns}:delayed:2208988800`)).toBe(1)
  })

  test('enqueues what has arrived on standard input, however little, before more comes', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const child = spawnCli(['enqueue', 'mail', 'A', '--from', '-'], { env: { REDIS_URL: redisUrl, PREFIX: ns } })
    for (const n of [1, 2]) {
      child.stdin.write('{}\n{"class":')
      await waitFor(async () => (await redis.llen(`${ns}:queue:mail`)) === 2 * n - 1)
      child.stdin.write('"B"}\n')
      await waitFor(async () => (await redis.llen(`${ns}:queue:mail`)) === 2 * n)
    }
    child.stdin.end()
    expect(await child.waitForExit()).toMatchObject({ code: 0 })
    expect(child.stdout).toBe('4 jobs enqueued\n')
  })

  test.for([
    ['{"class":"A","args":{"a":1}}', 'line 1502: "args" must be a list'],
    ['{"class":"A"', 'line 1502: it is not JSON'],
    ['[1]', 'line 1502: it is not a JSON object'],
    ['{"klass":"A"}', 'line 1502: it has an unknown field "klass"'],
    ['{"class":"A","retry":0}', 'line 1502: '],
    ['{"class":"A","args":["\\ud800"]}', 'which has no UTF-8 form. 1,000'],
    ['{"class":"A","track":"false"}', 'line 1502: "track" must be true or false'],
  ] as const)('names the line %j, and how many jobs are in', async ([line, said], { redis, redisUrl, ns }) => {
    const lines = [...Array.from({ length: 1500 }, () => '{"class":"A"}'), '', line, '']
    const ran = await cliOf(redisUrl, ns, lines.join('\n'))('enqueue', 'mail', '--from', '-')
    expect(ran.code).toBe(64)
    expect(ran.stderr).toContain(said)
    expect(ran.stderr).toContain('1,000 jobs had been enqueued before')
    expect(await redis.llen(`${ns}:queue:mail`)).toBe(1000)
  })
})

test('a line of a file ends with a line feed, and with nothing else that Unicode takes for the end of a line', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const texts = ['a\u2028b\u2029c\u0085d', '😀'.repeat(50_000)]
  const lines = texts.map((text) => JSON.stringify({ queue: 'mail', class: 'A', args: [text] }))
  const cli = cliOf(redisUrl, ns, `\ufeff${lines.join('\n')}`)
  expect(await cli('enqueue', '--from', '-')).toMatchObject({ code: 0, stdout: '2 jobs enqueued\n' })
  const raws = await redis.lrange(`${ns}:queue:mail`, 0, -1)
  expect(raws.map((raw) => (JSON.parse(raw) as { args: unknown[] }).args)).toEqual(texts.map((text) => [text]))
})

test.for([
  ['{"class":"A","retry":0}', 'line 1502: retry must be'],
  ['{"class":"A","timeout":-1}', 'line 1502: '],
  ['{"class":"A","in":-1}', 'line 1502: "in" must be'],
  ['{"class":"A","at":1795371757491}', 'line 1502: "at" is in seconds'],
  ['{"class":"A","id":7}', 'line 1502: "id" must be'],
  ['{"class":"A","args":["\\ud800"]}', 'which has no UTF-8 form'],
  ['{"klass":"A"}', 'line 1502: it has an unknown field "klass"'],
] as const)('nothing of a file with the line %j is enqueued', async ([line, said], { redis, redisUrl, ns }) => {
  const folder = mkdtempSync(join(tmpdir(), 'resqueue-'))
  own('folder', () => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'jobs.ndjson')
  await writeFile(file, [...Array.from({ length: 1500 }, () => '{"class":"A"}'), '', line].join('\n'))
  const ran = await cliOf(redisUrl, ns)('enqueue', 'mail', '--from', file)
  expect(ran.code).toBe(64)
  expect(ran.stderr).toContain(said)
  expect(await redis.exists(`${ns}:queues`)).toBe(0)
})

test('a file that is not UTF-8 is refused at the line that is not, and nothing is enqueued', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const folder = mkdtempSync(join(tmpdir(), 'resqueue-'))
  own('folder', () => rmSync(folder, { recursive: true, force: true }))
  const [file, bytes] = [join(folder, 'jobs'), Buffer.from('{"class":"A"}\n{"class":"A","args":["\xff"]}\n', 'latin1')]
  await writeFile(file, bytes)
  for (const from of [file, '-']) {
    const ran = await cliOf(redisUrl, ns, bytes)('enqueue', 'mail', '--from', from)
    expect(ran).toMatchObject({ code: 64, stderr: expect.stringContaining('line 2: it is not UTF-8') as string })
    expect(await redis.exists(`${ns}:queue:mail`)).toBe(0)
  }
})

test('jobs come from a pipe that is named like a file, and can be read but once', async ({ redis, redisUrl, ns }) => {
  const folder = mkdtempSync(join(tmpdir(), 'resqueue-'))
  own('folder', () => rmSync(folder, { recursive: true, force: true }))
  const pipe = join(folder, 'jobs')
  execFileSync('mkfifo', [pipe])
  const ran = cliOf(redisUrl, ns)('enqueue', 'mail', '--from', pipe)
  await writeFile(pipe, '{"class":"A"}\n{"class":"B"}\n')
  expect(await ran).toMatchObject({ code: 0, stdout: '2 jobs enqueued\n' })
  expect(await redis.llen(`${ns}:queue:mail`)).toBe(2)
})

describe('queues', () => {
  test('are listed with what waits, and peeked into', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    await redis.sadd(`${ns}:queues`, 'ruby', 'php')
    await redis.rpush(`${ns}:queue:ruby`, '{"class":"R","args":[1]}', 'no json')
    await redis.rpush(`${ns}:queue:php`, `{"class":"P","args":[],"id":"x","queue_time":${Date.now() / 1000 - 90}}`)
    expect((await cli('queue', 'ls', '-o', 'json')).json).toEqual([
      { queue: 'php', waiting: 1, latency_seconds: expect.closeTo(90, -1), running: 0, paused: false, next_class: 'P' },
      { queue: 'ruby', waiting: 2, latency_seconds: null, running: 0, paused: false, next_class: 'R' },
    ])
    expect(await cli('queue', 'ls', '--limit', '1')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^QUEUE .*\nphp +1 +1m\d\ds +0 +- +P\n$/),
      stderr: '1 of 2 queues; --limit 0 shows all\n',
    })
    expect((await cli('queue', 'peek', 'ruby', '-o', 'json')).json).toEqual([
      { index: 0, class: 'R', id: null, enqueued_at: null, problem: null, payload: '{"class":"R","args":[1]}' },
      {
        index: 1,
        class: null,
        id: null,
        enqueued_at: null,
        problem: expect.stringContaining('not JSON'),
        payload: 'no json',
      },
    ])
    expect((await cli('queue', 'peek', 'ruby', '--offset', '-1')).stdout).toMatch(/\n +1 .*no json\n$/)
    expect(await cli('queue', 'peek', 'nowhere')).toMatchObject({ code: 0 })
  })

  test('pause and resume', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    await redis.sadd(`${ns}:queues`, 'a')
    expect(await cli('queue', 'pause', 'a', 'b')).toMatchObject({
      code: 0,
      stdout: 'a: paused\nb: paused\n',
      stderr: 'b: no such queue yet; jobs that are put into it will wait\n',
    })
    expect((await cli('queue', 'pause', 'a', '-o', 'json')).json).toEqual([
      { queue: 'a', paused: true, changed: false },
    ])
    expect(JSON.parse((await redis.get(`${ns}:ext:paused`)) ?? '')).toEqual(['a', 'b'])
    expect(await cli('queue', 'resume', 'a', 'c')).toMatchObject({ stdout: 'a: resumed\nc: was not paused\n' })
  })

  test('are removed with --yes only', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    await redis.sadd(`${ns}:queues`, 'old')
    await redis.rpush(`${ns}:queue:old`, '{}', '{}')
    expect(await cli('queue', 'rm', 'old')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining(
        'Remove 1 queue (old) with 2 waiting jobs: nobody can be asked here, so this needs --yes',
      ),
    })
    expect(await cli('queue', 'rm', 'old', 'none', '--yes')).toMatchObject({
      code: 1,
      stderr: 'resqueue: There is no queue none.\n',
    })
    expect(await redis.llen(`${ns}:queue:old`)).toBe(2)
    expect(await cli('queue', 'rm', 'old', '--yes')).toMatchObject({ code: 0, stdout: 'old: removed with 2 jobs\n' })
    expect(await redis.exists(`${ns}:queue:old`, `${ns}:queues`)).toBe(0)
  })

  test('give jobs back by class, id and arguments', async ({ redis, redisUrl, ns }) => {
    const cli = cliOf(redisUrl, ns)
    const job = (name: string, id: string, args: unknown): string => JSON.stringify({ class: name, args: [args], id })
    await redis.rpush(
      `${ns}:queue:q`,
      job('A', '1', { n: 1 }),
      job('A', '2', { n: 2 }),
      job('B', '3', {}),
      job('A', '4', { n: 4 }),
      job('C', '5', {}),
    )
    expect(await cli('queue', 'dequeue', 'q')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('--class NAME, or --all'),
    })
    expect(await cli('queue', 'dequeue', 'q', '--id', '1', '--yes')).toMatchObject({ code: 64 })
    expect(await cli('queue', 'dequeue', 'q', '--class', 'A')).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('--yes'),
    })
    expect(await cli('queue', 'dequeue', 'q', '--class', 'A', '--id', '2', '--yes')).toMatchObject({
      code: 0,
      stdout: '1 job removed from q\n',
    })
    expect(
      (await cli('queue', 'dequeue', 'q', '--class', 'A', '--args', '{"n":4}', '--yes', '-o', 'json')).json,
    ).toEqual({ queue: 'q', removed: 1, interrupted: false })
    expect(await cli('queue', 'dequeue', 'q', '--class', 'Z', '--yes')).toMatchObject({
      code: 1,
      stdout: '0 jobs removed from q\n',
    })
    expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([
      job('A', '1', { n: 1 }),
      job('B', '3', {}),
      job('C', '5', {}),
    ])
    expect(await cli('queue', 'dequeue', 'q', '--all', '--yes')).toMatchObject({ stdout: '3 jobs removed from q\n' })
  })
})

test('delayed jobs are removed by what they are', async ({ redis, redisUrl, ns }) => {
  const cli = cliOf(redisUrl, ns)
  await cli('enqueue', 'q', 'A', '1', '--in', '1h')
  await cli('enqueue', 'q', 'A', '2', '--in', '1h')
  await cli('enqueue', 'p', 'B', '--in', '1h')
  expect(await cli('delayed', 'rm', '--yes')).toMatchObject({ code: 64, stderr: expect.stringContaining('say which') })
  expect(await cli('delayed', 'rm', '--all')).toMatchObject({ code: 64, stderr: expect.stringContaining('--yes') })
  expect(await cli('delayed', 'rm', '--class', 'A', '--args', '{}')).toMatchObject({
    code: 64,
    stderr: expect.stringContaining('must be a JSON list'),
  })
  expect((await cli('delayed', 'rm', '--class', 'A', '--dry-run', '-o', 'json')).json).toEqual({
    removed: 2,
    skipped: 0,
    dry_run: true,
    interrupted: false,
  })
  expect(await cli('delayed', 'rm', '--class', 'A', '--args', '[2]', '--yes')).toMatchObject({
    code: 0,
    stdout: '1 delayed job removed\n',
  })
  expect(await cli('delayed', 'rm', '--class', 'Z', '--yes')).toMatchObject({ code: 1 })
  expect((await cli('delayed', 'ls', '--queue', 'q', '-o', 'json')).json).toMatchObject([{ class: 'A', queue: 'q' }])
  expect(await cli('delayed', 'rm', '--all', '--yes')).toMatchObject({ stdout: '2 delayed jobs removed\n' })
  expect(await keysUnder(redis, `${ns}:delayed`)).toEqual([])
})

test('one key of another type spoils no look at many', async ({ redis, redisUrl, ns }) => {
  const cli = cliOf(redisUrl, ns)
  await redis.zadd(`${ns}:delayed_queue_schedule`, 77, '77')
  await redis.sadd(`${ns}:queues`, 'a')
  await redis.sadd(`${ns}:failed_queues`, 'a_failed')
  await redis.mset(`${ns}:delayed:77`, 'x', `${ns}:queue:a`, 'x', `${ns}:a_failed`, 'x')
  await cli('enqueue', 'mail', 'Now', '--id', 'now')
  await cli('enqueue', 'mail', 'Later', '--id', 'later', '--at', '2040-01-01')
  expect((await cli('delayed', 'ls', '-o', 'json')).json).toMatchObject([{ id: 'later' }])
  expect((await cli('job', 'show', 'later')).stdout).toContain('due at 2040-01-01T00:00:00Z in mail')
  expect((await cli('job', 'show', 'now')).stdout).toContain('waiting in mail')
  expect(await cli('queue', 'peek', 'a')).toMatchObject({
    code: 69,
    stderr: expect.stringContaining('`resqueue doctor` names the key') as string,
  })
})
