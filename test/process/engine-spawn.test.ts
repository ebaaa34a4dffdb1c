import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Outcome } from '../../src/worker/outcome.ts'
import { startSpawn } from '../../src/worker/spawn.ts'
import { spawnCommand } from '../support/process.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'
import { bench, fixture, folder, fragile } from './engine.ts'

test('while no process gets ready jobs go back uncounted, the engine says why, and goes on trying', async () => {
  const { jobs, obstruct, clear } = fragile("throw new Error('no database today')")
  const { engine, run, notices } = await bench({ isolation: 'spawn', jobs })
  expect(engine.trouble).toBeUndefined()
  obstruct()
  expect(await run('Job')).toMatchObject({ kind: 'succeeded' }) // its process was ready before
  const waiting = await Promise.all([run('Job'), run('Job')])
  for (const outcome of waiting)
    expect(outcome).toMatchObject({
      kind: 'returned',
      counted: false,
      reason: expect.stringContaining('no database today'),
    })
  expect(engine.trouble).toContain('no database today')
  expect(notices[0]).toMatch(/^error a job process did not start: .*no database today/)
  clear()
  await waitFor(() => engine.trouble === undefined)
  expect(await run('Job')).toMatchObject({ kind: 'succeeded' })
})

test('a job that waits for a process while code that loads again is taken up is performed', async () => {
  const { jobs, obstruct, clear } = fragile("throw new Error('no database today')")
  const { engine, run } = await bench({ isolation: 'spawn', jobs })
  obstruct()
  expect(await run('Job')).toMatchObject({ kind: 'succeeded' }) // its process was ready before
  for (let tries = 0; tries < 3; tries++) expect(await run('Job')).toMatchObject({ kind: 'returned' })
  const waiting = run('Job') // the next process is started in seconds only
  clear()
  await engine.reload()
  expect(await waiting).toMatchObject({ kind: 'succeeded' })
})

test('a process that never gets ready is ended, and its job goes back uncounted', async () => {
  const { jobs, obstruct } = fragile('await new Promise(() => setInterval(() => {}, 60_000))')
  const ignore = (): void => undefined
  const events = { output: ignore, log: ignore, forked: ignore, notice: ignore }
  const backend = await startSpawn(
    { jobs, concurrency: 1, jobsPerChild: 1, killDelayMs: 300, isolation: 'spawn', events },
    100,
  )
  own('backend', () => backend.retire())
  const run = async (): Promise<Outcome> =>
    backend.run(
      { id: 'an-id', queue: 'mail', class: 'Job', payload: '{"class":"Job","args":[]}', attempt: 1 },
      {
        signal: new AbortController().signal,
        timeoutMs: undefined,
        started: () => undefined,
        killers: new Set(),
      },
    )
  obstruct()
  expect(await run()).toMatchObject({ kind: 'succeeded' })
  expect(await run()).toMatchObject({
    kind: 'returned',
    counted: false,
    reason: expect.stringContaining('ended with SIGKILL'),
  })
})

test('out of descriptors, jobs wait until there is a process for them', async () => {
  const host = ['ulimit -n 96; exec "$@"', 'sh', process.execPath, fixture('scarce.ts'), fixture('every.ts'), 'Later']
  const { waitForExit, lines } = spawnCommand('sh', ['-c', ...host])
  const end = await waitForExit(50_000)
  const said = lines.map(({ text }) => text)
  expect(said.filter((line) => line.includes('a job process did not start')).length).toBeGreaterThan(2)
  expect(said.filter((line) => line.endsWith('succeeded succeeded'))).toHaveLength(5)
  expect(end).toEqual({ code: 0, signal: null })
})

test.each([1, 0])(
  'a job that closes the way to its worker does not count as done (%i per child)',
  async (jobsPerChild) => {
    const jobs = join(folder(), 'jobs.mjs')
    writeFileSync(
      jobs,
      `import { closeSync } from 'node:fs'
    export class Job { perform() { closeSync(3); throw new Error('half done') } }`,
    )
    const { run } = await bench({ isolation: 'spawn', jobs, jobsPerChild })
    expect(await run('Job')).toMatchObject({ kind: 'exited', code: 1 })
  },
)
