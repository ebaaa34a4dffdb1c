import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { freePort } from '../support/ports.ts'
import { ROOT, spawnCli, spawnCommand } from '../support/process.ts'
import { own } from '../support/scope.ts'
import { cliOf, run } from './cli.ts'

describe('a command line', () => {
  test.for([
    [[], 64, '', 'Usage: resqueue VERB'],
    [['--help'], 0, 'resqueue VERB --help explains a verb', ''],
    [['help', 'queue', 'ls'], 0, 'resqueue queue ls: list all queues', ''],
    [['queue', '--help'], 0, 'resqueue queue peek QUEUE', ''],
    [['failed', 'retry', '-h'], 0, 'Example', ''],
    [['--version'], 0, 'resqueue 0.', ''],
    [['queu', 'ls'], 64, '', 'there is no verb "queu"; did you mean queue?'],
    [['queue'], 64, '', 'say what to do: resqueue queue ls|peek|pause|resume|rm|dequeue'],
    [['queue', 'lss'], 64, '', 'there is no "queue lss"; did you mean ls?'],
    [['--redis', 'x', 'queue', 'ls'], 64, '', 'the verb comes first'],
    [['queue', 'ls', '--limt', '3'], 64, '', 'there is no option --limt; did you mean --limit?'],
    [['queue', 'ls', '-o', 'xml'], 64, '', '-o: "xml" is not one of table, json'],
    [['queue', 'peek'], 64, '', 'something is missing: resqueue queue peek QUEUE'],
    [['queue', 'peek', 'a', 'b'], 64, '', '"b" is one operand too many'],
    [['queue', 'ls', '--redis', 'http://x'], 64, '', 'the scheme "http" is unknown'],
    [['completion', 'bsh'], 64, '', 'did you mean bash?'],
    [['completion', 'tcsh'], 64, '', '"tcsh". There are bash'],
    [['stats', '--redis-password-file', '/no/such/file'], 78, '', 'password file /no/such/file cannot be read'],
  ] as const)('%j', async ([words, code, stdout, stderr]) => {
    const ran = await run(words)
    expect(ran).toMatchObject({
      code,
      stdout: expect.stringContaining(stdout),
      stderr: expect.stringContaining(stderr),
    })
    if (words.length > 0 && stderr !== '') expect(ran.stderr.trim()).toMatch(/^resqueue: [^\n]*$/)
  })

  test('says so when Redis is away, and exits with 69', async () => {
    const url = `redis://127.0.0.1:${await freePort()}`
    const runs = await Promise.all(
      [['stats'], ['doctor'], ['enqueue', 'q', 'A']].map((words) => run([...words, '--redis', url])),
    )
    const said = expect.stringMatching(/^resqueue: Redis at .* did not answer/) as unknown
    expect(runs).toEqual(runs.map(() => ({ code: 69, stdout: '', stderr: said })))
  })

  test('says so where there is no kubeconfig, and exits with 78', async () => {
    const home = await mkdtemp(join(tmpdir(), 'resqueue-home-'))
    own('home', () => rm(home, { recursive: true, force: true }))
    const env = { HOME: home, KUBECONFIG: undefined, KUBERNETES_SERVICE_HOST: undefined }
    for (const words of [
      ['scaler', 'ls'],
      ['control', '--port', '0'],
    ]) {
      const ran = await run(words, { env })
      expect(ran).toMatchObject({ code: 78, stderr: expect.stringContaining('There is no kubeconfig') })
    }
  })

  test('a controller says which namespace it serves where it is told none', async () => {
    const home = await mkdtemp(join(tmpdir(), 'resqueue-home-'))
    own('home', () => rm(home, { recursive: true, force: true }))
    const file = join(home, 'kubeconfig')
    const server = `http://127.0.0.1:${await freePort()}`
    const config = {
      clusters: [{ name: 'c', cluster: { server } }],
      users: [{ name: 'u', user: {} }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'shop' } }],
      'current-context': 'x',
    }
    await writeFile(file, JSON.stringify(config))
    const controller = spawnCli(['control', '--port', '0', '--kubeconfig', file])
    expect(await controller.waitForLine('controller started')).toContain('"namespaces":["shop"]')
    await controller.stop()
  })

  test('tells what Redis refuses', async ({ redisUrl }) => {
    const ran = await run(['stats', '--redis', redisUrl.replace('//', '//nobody:wrong@')])
    expect(ran).toMatchObject({ code: 69, stderr: expect.stringContaining('refuses the user name or password') })
    expect(ran.stderr).not.toContain('wrong@')
    const noSuch = await run(['enqueue', 'q', 'Ok', '--redis', redisUrl, '--redis-db', '99'])
    expect(noSuch).toMatchObject({ code: 69, stderr: expect.stringContaining('Check --redis-db') })
  })

  test('is not troubled by a password that Redis does not ask for', async ({ redisUrl, ns }) => {
    const url = new URL(redisUrl)
    url.password = 'surplus'
    expect(await cliOf(url.href, ns)('queue', 'ls', '-o', 'json')).toMatchObject({ code: 0, json: [], stderr: '' })
  })

  test('is not troubled by a key of another type', async ({ redis, redisUrl, ns }) => {
    await redis.set(`${ns}:queues`, 'x')
    expect(await cliOf(redisUrl, ns)('queue', 'ls')).toMatchObject({
      code: 69,
      stderr: expect.stringContaining('WRONGTYPE'),
    })
    await redis.set(`${ns}:workers`, 'x')
    expect(await cliOf(redisUrl, ns)('stats')).toMatchObject({ code: 69, stderr: expect.stringContaining('WRONGTYPE') })
  })

  test('ends quietly when its reader goes away', async ({ redis, redisUrl, ns }) => {
    await redis.rpush(
      `${ns}:queue:q`,
      ...Array.from({ length: 1000 }, (_, i) => `{"class":"${'A'.repeat(150)}","args":[${i}]}`),
    )
    const env = { REDIS_URL: redisUrl, PREFIX: ns }
    const line = `"${process.execPath}" src/bin.ts queue peek q --limit 1000 | head -1`
    const shell = spawnCommand('bash', ['--norc', '-o', 'pipefail', '-c', line], { env })
    expect(await shell.waitForExit()).toEqual({ code: 0, signal: null })
    expect(shell.stderr).toBe('')
  })

  test('asks on a terminal before it destroys', async ({ redis, redisUrl, ns }) => {
    const env = { REDIS_URL: redisUrl, PREFIX: ns }
    const typed = async (answer: string): Promise<string> => {
      const terminal = spawnCommand(
        'script',
        ['-qec', `"${process.execPath}" src/bin.ts failed rm --all`, '/dev/null'],
        { env },
      )
      await terminal.waitForLine('', { timeoutMs: 10 }).catch(() => undefined)
      terminal.stdin.write(`${answer}\n`)
      terminal.stdin.end()
      await terminal.waitForExit()
      return terminal.stdout
    }
    await redis.rpush(`${ns}:failed`, '{}', '{}')
    expect(await typed('n')).toMatch(/Remove 2 failed jobs\? \[y\/N\][^]*Nothing was changed/)
    expect(await redis.llen(`${ns}:failed`)).toBe(2)
    expect(await typed('y')).toContain('2 failed jobs removed')
    expect(await redis.llen(`${ns}:failed`)).toBe(0)
  })

  test('that works logs a line for each message, also on a terminal', async ({ redisUrl, ns }) => {
    const terminal = spawnCommand(
      'script',
      ['-qec', `"${process.execPath}" src/bin.ts work --queues q --jobs ./no-such-folder --port 0`, '/dev/null'],
      { env: { REDIS_URL: redisUrl, PREFIX: ns, NO_COLOR: '1' } },
    )
    await terminal.waitForExit()
    expect(terminal.stdout).toMatch(/^\[[\d:.]+\] INFO: worker stopped \{"exit_code":78,"jobs":0\}\r?$/m)
  })

  test('that an old Node is given ends with one line', () => {
    const old = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.0' } })`
    const startOld = (): void => {
      execFileSync(
        process.execPath,
        ['--import', `data:text/javascript,${encodeURIComponent(old)}`, `${ROOT}src/bin.ts`, 'version'],
        { encoding: 'utf8', stdio: 'pipe' },
      )
    }
    expect(startOld).toThrow(/resqueue: Node 24 or newer is needed, this is Node 18\.20\.0/)
  })
})

describe('completion', () => {
  test('of bash knows verbs, options and choices', async () => {
    const { stdout, code } = await run(['completion', 'bash'])
    expect(code).toBe(0)
    const complete = (words: string): string => {
      const ask = `COMP_WORDS=(${words} ""); COMP_CWORD=$((\${#COMP_WORDS[@]}-1)); [[ $LAST ]] && COMP_WORDS[COMP_CWORD]=$LAST; _resqueue; echo "\${COMPREPLY[*]}"`
      const [, last = ''] = /(\S+)$/.exec(words) ?? []
      return execFileSync('bash', ['--norc', '-c', `${stdout}\n${ask.replace(words, words.slice(0, -last.length))}`], {
        encoding: 'utf8',
        env: { LAST: last },
      }).trim()
    }
    expect(complete('resqueue qu')).toBe('queue quarantine')
    expect(complete('resqueue queue pe')).toBe('peek')
    expect(complete('resqueue completion z')).toBe('zsh')
    expect(complete('resqueue failed retry --e')).toBe('--error')
    expect(complete('resqueue work --isolation sp')).toBe('spawn')
    expect(complete('resqueue worker prune --dry')).toBe('--dry-run')
  })

  test('of zsh and fish is printed', async () => {
    expect((await run(['completion', 'zsh'])).stdout).toContain('#compdef resqueue')
    expect((await run(['completion', 'fish'])).stdout).toContain('complete -c resqueue')
  })
})

describe('health', () => {
  const serve = async (status: number, text: string): Promise<string> => {
    const server = createServer((request, response) =>
      response.writeHead(status).end(request.url?.endsWith('?verbose') ? text : ''),
    )
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    own('server', () => server.close())
    return String((server.address() as { port: number }).port)
  }

  test('prints the checks of a healthy worker', async () => {
    const port = await serve(200, '[+]reserve-loop ok\n[+]event-loop ok\nhealthz check passed\n')
    expect(await run(['health'], { env: { PORT: port } })).toMatchObject({
      code: 0,
      stdout: 'ok      reserve-loop\nok      event-loop\nhealthy\n',
    })
  })

  test('exits with 1 for one that is not', async () => {
    const port = await serve(503, '[+]a ok\n[-]b failed: it is stuck\nhealthz check failed\n')
    const { code, stdout } = await run(['health', '--port', port, '-o', 'json'])
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({
      healthy: false,
      checks: [
        { name: 'a', ok: true, problem: null },
        { name: 'b', ok: false, problem: 'it is stuck' },
      ],
    })
  })

  test('does not ask port 0, which stands for the port of another program', async () => {
    expect(await run(['health'], { env: { PORT: '0' } })).toMatchObject({
      code: 64,
      stderr: expect.stringContaining('PORT: 0 is too small; the least is 1'),
    })
  })

  test('exits with 1 where nobody listens', async () => {
    const ran = await run(['health', '--port', String(await freePort())])
    expect(ran).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('no worker answers') })
  })
})
