import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { spawnCommand } from '../support/process.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'
import { bench, fixture, folder, nodeOptions } from './engine.ts'

/** A server that says nothing: its port. */
async function listen(): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {}))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  own('server', () => server.close())
  return (server.address() as AddressInfo).port
}

/** A module that every process which loads jobs loads before. */
function preload(flag: '--import' | '--require', text: string): void {
  const file = join(folder(), flag === '--import' ? 'preload.mjs' : 'preload.cjs')
  writeFileSync(file, text)
  nodeOptions(`${flag} ${file}`)
}

/** A job module whose code may `note` words, and the file that they go to, a line each. */
function noting(code: string): { readonly jobs: string; readonly notes: string } {
  const place = folder()
  const [jobs, notes] = [join(place, 'jobs.mjs'), join(place, 'notes')]
  writeFileSync(notes, '')
  writeFileSync(
    jobs,
    `import { appendFileSync } from 'node:fs'
    const note = (word) => appendFileSync(${JSON.stringify(notes)}, word + '\\n')
    ${code}`,
  )
  return { jobs, notes }
}

test('a connection made while loading leads to spawn, and is named', async () => {
  const port = await listen()
  process.env['RESQUEUE_TEST_PORT'] = String(port)
  const { engine, run, notices } = await bench({ isolation: 'auto', jobs: fixture('socket.ts') })
  expect(engine.isolation).toBe('spawn')
  expect(notices).toEqual([expect.stringContaining(`a tcp connection to 127.0.0.1:${port}`)])
  expect(await run('Port')).toMatchObject({ kind: 'succeeded', result: String(port) })
})

test('timers and threads started while loading lead to spawn, and are named', async () => {
  process.env['RESQUEUE_TEST_THREAD'] = '1'
  own('environment', () => delete process.env['RESQUEUE_TEST_THREAD'])
  const { engine, notices } = await bench({ isolation: 'auto', jobs: fixture('timer.ts') })
  expect(engine.isolation).toBe('spawn')
  expect(notices).toEqual([expect.stringMatching(/a timer \(setTimeout or setInterval\).*a worker thread/)])
})

test('a connection of a preload leads to spawn, and is told from those of job modules', async () => {
  const port = await listen()
  preload(
    '--import',
    `import { connect } from 'node:net'
    const socket = connect(${port}, '127.0.0.1')
    await new Promise((resolve) => socket.on('connect', resolve))
    socket.unref()`,
  )
  const { engine, run, notices } = await bench({ isolation: 'auto', jobs: fixture('timer.ts') })
  expect(engine.isolation).toBe('spawn')
  expect(notices).toEqual([
    expect.stringMatching(
      `the job modules opened a timer .*, and a preload .* opened a tcp connection to 127.0.0.1:${port}, which`,
    ),
  ])
  expect(await run('Nothing')).toMatchObject({ kind: 'succeeded' })
})

test('timers and threads of a preload lead to spawn, threads without a name of their own too', async () => {
  preload(
    '--require',
    `const { Worker } = require('node:worker_threads')
    setInterval(() => {}, 1000)
    new Worker('setInterval(() => {}, 1000)', { eval: true, name: 'node-MainThread' }).unref()`,
  )
  const { engine, notices } = await bench({ isolation: 'auto' })
  expect(engine.isolation).toBe('spawn')
  expect(notices).toEqual([
    expect.stringMatching(/a preload .* opened a timer .*, a thread named node-MainThread, which/),
  ])
})

test('a database in a file that is opened while loading leads to spawn, and is named', async () => {
  const place = folder()
  const [jobs, file] = [join(place, 'jobs.mjs'), join(place, 'shop.db')]
  writeFileSync(
    jobs,
    `import { DatabaseSync } from 'node:sqlite'
    const shop = new DatabaseSync(${JSON.stringify(file)})
    export class Answer { perform() { return shop.prepare('select 42 as answer').get().answer } }`,
  )
  const { engine, run, notices } = await bench({ isolation: 'auto', jobs })
  expect(engine.isolation).toBe('spawn')
  expect(notices).toEqual([
    expect.stringContaining(`the job modules opened the file ${file} for reading and writing while loading`),
  ])
  expect(await run('Answer')).toMatchObject({ kind: 'succeeded', result: '42' })
})

test('a file of a preload that is read and written leads to spawn; one in the worker too does not excuse it', async () => {
  const file = join(folder(), 'shop.db')
  preload('--require', `require('node:fs').openSync(${JSON.stringify(file)}, 'w+')`)
  const host = [fixture('host.ts'), 'auto', fixture('every.ts'), 'Later', '[]']
  const { NODE_OPTIONS } = process.env
  const { waitForLine, waitForExit } = spawnCommand(process.execPath, host, { env: { NODE_OPTIONS } })
  expect(await waitForLine(/notice/)).toMatch(
    `a preload (--import, --require, NODE_OPTIONS) opened the file ${file} for`,
  )
  expect(await waitForExit()).toEqual({ code: 0, signal: null })
})

test('files that are read or appended to, databases in memory and scratch files stand against no fork', async () => {
  const place = folder()
  const jobs = join(place, 'jobs.mjs')
  writeFileSync(
    jobs,
    `import { openSync, unlinkSync } from 'node:fs'
    import { DatabaseSync } from 'node:sqlite'
    openSync(import.meta.filename, 'r')
    openSync(${JSON.stringify(join(place, 'log'))}, 'a')
    openSync(${JSON.stringify(join(place, 'scratch'))}, 'w+')
    unlinkSync(${JSON.stringify(join(place, 'scratch'))})
    const numbers = new DatabaseSync(':memory:')
    export class Answer { perform() { return numbers.prepare('select 42 as answer').get().answer } }`,
  )
  const { engine, run, notices } = await bench({ isolation: 'auto', jobs })
  expect(notices).toEqual([])
  expect(engine.isolation).toBe('fork')
  expect(await run('Answer')).toMatchObject({ kind: 'succeeded', result: '42' })
})

test.each(['0', '1'])('nothing of Node itself stands against a fork, with io_uring set to %s', async (uring) => {
  process.env['UV_USE_IO_URING'] = uring
  own('UV_USE_IO_URING', () => delete process.env['UV_USE_IO_URING'])
  nodeOptions('--max-old-space-size=300 --enable-source-maps')
  const { engine, run, notices } = await bench({ isolation: 'fork', hooks: fixture('hooks.ts') })
  expect(notices).toEqual([])
  expect(engine.isolation).toBe('fork')
  expect(await run('Work')).toMatchObject({ kind: 'succeeded' })
})

test('names of connections are looked up neither at a start nor at a reload, which would wait for DNS', async () => {
  const { report } = process
  const { getReport } = report
  const seen: object[] = []
  own('report', () => void (report.getReport = getReport))
  report.getReport = (...given) => {
    const made = getReport.apply(report, given)
    seen.push((made as { header: object }).header)
    return made
  }
  const { engine } = await bench({ isolation: 'fork' })
  await engine.reload()
  expect(engine.isolation).toBe('fork')
  expect(seen).toHaveLength(2)
  for (const header of seen) expect(header).not.toHaveProperty('networkInterfaces')
  expect(getReport.call(report)).toHaveProperty('header.networkInterfaces')
})

test('a connection and a file that the worker itself was started with stand against no fork', async () => {
  const command = `exec 200<>/dev/tcp/127.0.0.1/${await listen()} 201<>${join(folder(), 'lock')}; exec "$@"`
  const host = [process.execPath, fixture('host.ts'), 'fork', fixture('every.ts'), 'Later', '[]']
  const { waitForLine, waitForExit } = spawnCommand('bash', ['-c', command, 'bash', ...host])
  expect(await waitForLine(/^(isolation|notice)/)).toBe('isolation fork')
  expect(await waitForExit()).toEqual({ code: 0, signal: null })
})

test('timers that do not keep a process alive are told of, and do not stand against a fork', async () => {
  const jobs = join(folder(), 'jobs.mjs')
  writeFileSync(
    jobs,
    `setInterval(function flush() {}, 60_000).unref()
    clearTimeout(setTimeout(() => {}, 70_000).unref())
    export class Job { perform() {} }`,
  )
  const { engine, run, notices } = await bench({ isolation: 'fork', jobs })
  expect(engine.isolation).toBe('fork')
  expect(notices).toEqual([expect.stringMatching(/^info timers .*: setInterval of 60000 ms \(flush\)$/)])
  expect(await run('Job')).toMatchObject({ kind: 'succeeded' })
})

/** As signal-exit does it: a list of its own, and `process` as it was found when this was loaded. */
const EXIT_LIST = `
  const handlers = { listeners: { exit: [], afterExit: [] } }
  Object.defineProperty(globalThis, Symbol.for('signal-exit emitter'), { value: handlers })
  const { emit, reallyExit } = process
  const tell = (code) => handlers.listeners.exit.splice(0).forEach((handler) => handler(code))
  const onExit = (handler) => {
    handlers.listeners.exit.push(handler)
    process.emit = (name, ...args) => {
      const heard = emit.call(process, name, ...args)
      if (name === 'exit') tell(args[0])
      return heard
    }
    process.reallyExit = (code) => {
      tell(code)
      return reallyExit.call(process, code)
    }
  }`

test.for([
  ['fork', false],
  ['fork', true],
  ['spawn', false],
  ['spawn', true],
] as const)('a library with an exit list of its own, %s, used while loading: %s', async ([isolation, early]) => {
  const { jobs, notes } = noting(
    `${EXIT_LIST}
    if (${early}) onExit((code) => note('loading: ' + code))
    const useIt = () => onExit((code) => note('job: ' + code))
    export class Returns { perform() { useIt() } }
    export class Exits { perform(code) { useIt(); process.exit(code) } }
    export class Never { perform() { useIt(); return new Promise(() => {}) } }`,
  )
  const { engine, run } = await bench({ isolation, jobs, timeoutMs: 5000 })
  expect(engine.isolation).toBe(isolation)
  const told = async (code: number): Promise<void> => {
    const lines = isolation === 'spawn' && early ? [`loading: ${code}`, `job: ${code}`] : [`job: ${code}`]
    // A job has reported before its process leaves.
    await waitFor(() => readFileSync(notes, 'utf8') === lines.map((line) => `${line}\n`).join(''), {
      describe: () => `${lines.join(', ')}, having ${readFileSync(notes, 'utf8')}`,
    })
    writeFileSync(notes, '')
  }
  expect(await run('Returns')).toMatchObject({ kind: 'succeeded' })
  await told(0)
  expect(await run('Exits', [3])).toMatchObject({ kind: 'exited', code: 3 })
  await told(3)
  const { kind, error } = (await run('Never')) as { kind: string; error?: { message: string } }
  expect([kind, error?.message]).toEqual(['failed', expect.stringContaining('never ended')])
  await told(1)
})

test('what loading wants done at the end of its process is not done in children, what a job wants is', async () => {
  const { jobs, notes } = noting(
    `process.on('exit', () => note('loading: exit'))
    process.on('beforeExit', () => note('loading: beforeExit'))
    process.once('exit', () => note('loading: exit, once'))
    export class Returns { perform() {} }
    export class Throws { perform() { setTimeout(() => { throw new Error('late') }) ; return new Promise(() => {}) } }
    export class Never { perform() { return new Promise(() => {}) } }
    export class Exits { perform(code) { process.exit(code) } }
    export class Tidies { perform(code) {
      process.on('exit', (code) => note('job: exit ' + code))
      if (code) process.exit(code)
    } }`,
  )
  const { engine, run } = await bench({ isolation: 'fork', jobs })
  expect(await run('Returns')).toMatchObject({ kind: 'succeeded' })
  expect(await run('Throws')).toMatchObject({ kind: 'failed', error: { message: 'late' } })
  expect(await run('Never')).toMatchObject({
    kind: 'failed',
    error: { message: expect.stringContaining('never ended') },
  })
  expect(await run('Exits', [3])).toMatchObject({ kind: 'exited', code: 3 })
  expect(await run('Exits', [0])).toMatchObject({ kind: 'exited', code: 0 })
  expect(await run('Tidies', [4])).toMatchObject({ kind: 'exited', code: 4 })
  expect(await run('Tidies', [0])).toMatchObject({ kind: 'succeeded' })
  // It has reported before it leaves.
  await waitFor(() => readFileSync(notes, 'utf8').includes('exit 0'))
  await engine.stop()
  expect(readFileSync(notes, 'utf8')).toBe('job: exit 4\njob: exit 0\n')
})

test.each([
  [
    'whose top-level await never settles',
    'await new Promise(() => {})',
    /ended with code 13 \(a top-level await that nothing settles\)/,
  ],
  [
    'that imports what cannot be compiled',
    `import './lib/b.cjs'`,
    /: could not be loaded: .* \(\/.*\/lib\/b\.cjs:2\)$/,
  ],
])('a module %s is refused in words that tell', async (_what, code, message) => {
  const place = folder()
  mkdirSync(join(place, 'lib'))
  writeFileSync(join(place, 'lib', 'b.cjs'), '\nlet =')
  const jobs = join(place, 'jobs.mjs')
  writeFileSync(jobs, `${code}\nexport class A { perform() {} }`)
  for (const isolation of ['fork', 'spawn'] as const)
    await expect(bench({ isolation, jobs })).rejects.toMatchObject({
      code: 'JOBS',
      message: expect.stringMatching(message),
    })
})
