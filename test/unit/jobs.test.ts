import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Logger } from '../../src/log.ts'
import { createFailureBackends } from '../../src/worker/failurebackends.ts'
import { loadChildHooks } from '../../src/worker/childhooks.ts'
import type { Failure } from '../../src/worker/endings.ts'
import { loadJobs, moduleFiles, nameFromFile } from '../../src/worker/jobs.ts'
import { currentJob, defineJob } from '../../src/worker/job.ts'
import { loadParentHooks } from '../../src/worker/parenthooks.ts'
import { retryPolicy } from '../../src/worker/policy.ts'
import { ROOT } from '../support/process.ts'
import { own } from '../support/scope.ts'

const JOB = `import { defineJob } from ${JSON.stringify(join(ROOT, 'src/worker/job.ts'))}\n`

/** Writes modules into a folder of the test's own; `defineJob` is there in each. */
function modules(files: Record<string, string>): string {
  mkdirSync(join(ROOT, 'build'), { recursive: true })
  const folder = mkdtempSync(join(ROOT, 'build', 'unit-'))
  own(folder, () => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), name.endsWith('.cjs') ? text : JOB + text)
  }
  return folder
}

const names = async (files: Record<string, string>): Promise<string[]> => [
  ...(await loadJobs(modules(files))).jobs.keys(),
]

describe('names', () => {
  test.each([
    ['/a/send-email.ts', 'SendEmail'],
    ['/a/send_email.job.mjs', 'SendEmailJob'],
    ['/a/sendEmail.js', 'SendEmail'],
    ['/a/2fa.ts', '2fa'],
  ])('%s is %s', (file, name) => {
    expect(nameFromFile(file)).toBe(name)
  })

  test('a job is named by itself, else by its export, else by its file', async () => {
    const text = `
      export default defineJob(() => {})
      export const Second = defineJob(() => {})
      export const third = defineJob('Mail::Send', () => {})
      export class Fourth { perform() {} }
      export class Fifth { static jobName = 'App\\\\Jobs\\\\Fifth'; perform() {} }
      export class Helper {}
      export const helper = () => {}
      export const VERSION = 3`
    const { jobs, withoutPerform } = await loadJobs(modules({ 'send-email.mjs': text }))
    expect([...jobs.keys()].sort()).toEqual([String.raw`App\Jobs\Fifth`, 'Fourth', 'Mail::Send', 'Second', 'SendEmail'])
    expect([...withoutPerform]).toEqual(['Helper'])
  })

  test('a map named jobs gives names to either form', async () => {
    const text = `class A { perform() {} }\nexport const jobs = { 'x:a': A, b: defineJob(() => {}) }`
    expect(await names({ 'a.mjs': text })).toEqual(['x:a', 'b'])
    expect(await names({ 'a.mjs': text.replace(/(\{ 'x:a.*\})/, 'new Map(Object.entries($1))') })).toEqual(['x:a', 'b'])
  })

  test('a default-exported class has its own name, or its file’s', async () => {
    // In parentheses, for the test runner's own transformation gives a name to nameless ones.
    expect(await names({ 'clean-up.mjs': 'export default (() => class { perform() {} })()' })).toEqual(['CleanUp'])
    expect(await names({ 'clean-up.mjs': 'export default class Sweep { perform() {} }' })).toEqual(['Sweep'])
  })

  test('one job under two exports is one job', async () => {
    expect(await names({ 'a.mjs': `export const A = defineJob('A', () => {})\nexport default A` })).toEqual(['A'])
  })
})

describe('folders', () => {
  test('all modules of a folder are loaded, of every kind, but not its subfolders, tests and declarations', async () => {
    const text = 'export default defineJob(() => {})'
    const files = {
      'a.mjs': text,
      'b.ts': text,
      'c.mts': text,
      'd.cjs': 'exports.D = class { perform() {} }',
      'e.d.ts': '',
      'a.test.ts': 'throw new Error()',
      '.hidden.ts': 'throw new Error()',
      'notes.md': '',
      'lib/helper.ts': 'throw new Error()',
    }
    expect(await names(files)).toEqual(['A', 'B', 'C', 'D'])
  })

  test('an empty folder and a missing path are refused by name', () => {
    expect(() => moduleFiles(modules({ 'notes.md': '' }))).toThrow(/has no job modules/)
    expect(() => moduleFiles('/nowhere/jobs.ts')).toThrow('/nowhere/jobs.ts: no such file or folder')
  })
})

describe('what is refused names file and reason', () => {
  test.each([
    ['a module that throws', { 'a.mjs': 'throw new Error("boom")' }, /a\.mjs: could not be loaded: boom/],
    ['a module without jobs', { 'a.mjs': 'export const x = 1' }, /a\.mjs: exports no job/],
    [
      'a name that is taken',
      { 'a.mjs': `export default defineJob('X', () => {})`, 'b.mjs': `export default defineJob('X', () => {})` },
      /b\.mjs: job X is already defined in .*a\.mjs/,
    ],
    ['a list', { 'a.mjs': 'export const jobs = [class A { perform() {} }]' }, /a\.mjs: jobs is a list/],
    ['a list by default', { 'a.mjs': 'export default [class A { perform() {} }]' }, /a\.mjs: exports no job/],
    ['a map with something else', { 'a.mjs': 'export const jobs = { a: 1 }' }, /a\.mjs: jobs\["a"\] is neither/],
    ['a map with a function', { 'a.mjs': 'export const jobs = { a: () => {} }' }, /a\.mjs: jobs\["a"\] is neither/],
    [
      'a class whose perform is no method',
      { 'a.mjs': 'export class A { static perform() {} }\nexport class B { perform = () => {} }' },
      /a\.mjs: exports no job.*; perform must be a method of A, B, not static, and not a property$/,
    ],
    [
      'code that fails in what a module imports',
      { 'a.mjs': `import './lib/b.cjs'`, 'lib/b.cjs': 'let x\nx.y' },
      /a\.mjs: could not be loaded: .*\(reading 'y'\) \(\/.*\/lib\/b\.cjs:2:3\)$/,
    ],
    [
      'options that make no sense',
      { 'a.mjs': `export const A = defineJob(() => {}, { retry: 0 })` },
      /a\.mjs: job A: retry must be/,
    ],
    [
      'a timeout that lets no run end',
      { 'a.mjs': `export const A = defineJob(() => {}, { timeout: 0 })` },
      /a\.mjs: job A: timeout must be a number of seconds, more than 0/,
    ],
  ])('%s', async (_what, files, message) => {
    await expect(loadJobs(modules(files))).rejects.toMatchObject({
      code: 'JOBS',
      message: expect.stringMatching(message),
    })
  })
})

describe('definitions', () => {
  test('a name, a handler and options', () => {
    expect(defineJob('A', () => {}, { timeout: 3 })).toMatchObject({ jobName: 'A', options: { timeout: 3 } })
    expect(defineJob(() => {})).toMatchObject({ jobName: '', options: {} })
    expect(() => defineJob('A', 3 as never)).toThrow(/must be a function/)
  })

  test('currentJob outside of a job says so', () => {
    expect(() => currentJob()).toThrow(/outside of a job/)
  })

  test('retry policies have every default filled in, in milliseconds', () => {
    expect(retryPolicy(3)).toEqual({ attempts: 3, backoff: 'exponential', delaysMs: [5000], jitter: 0.2 })
    expect(retryPolicy({ attempts: 5, delays: [1, 2.5], maxDelay: 60, jitter: 0 })).toEqual({
      attempts: 5,
      backoff: 'list',
      delaysMs: [1000, 2500],
      maxDelayMs: 60_000,
      jitter: 0,
    })
    for (const wrong of [
      0,
      1.5,
      { attempts: 2, backoff: 'list' },
      { attempts: 2, delay: -1 },
      { attempts: 2, jitter: 2 },
    ]) {
      expect(() => retryPolicy(wrong as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    }
  })
})

describe('hooks', () => {
  test('default and named exports, single functions and lists; what is not callable is skipped', async () => {
    const folder = modules({
      'hooks.mjs': `export default { beforePerform: [() => 1, 'x', () => 2] }\nexport const afterFork = () => 3`,
    })
    const hooks = await loadChildHooks(join(folder, 'hooks.mjs'))
    expect(hooks.beforePerform.map((call) => call({} as never))).toEqual([1, 2])
    expect(hooks.afterFork).toHaveLength(1)
    expect(hooks.afterPerform).toEqual([])
    await expect(loadChildHooks(join(folder, 'none.mjs'))).rejects.toMatchObject({ code: 'CONFIG' })
  })

  test('a listener that does not settle is left to itself, and said', async () => {
    const folder = modules({ 'hooks.mjs': `export const onFailure = () => new Promise(() => {})` })
    const said: unknown[] = []
    const log = { error: (fields: object, text: string) => void said.push([fields, text]) } as unknown as Logger
    const hooks = await loadParentHooks(join(folder, 'hooks.mjs'), log, 20)
    await hooks.tell('onFailure', {} as never, {} as never)
    expect(said).toEqual([
      [{ event: 'onFailure', waited_s: 0.02 }, 'a onFailure listener does not settle; the job goes on'],
    ])
  })
})

test('a failure backend that never settles keeps no failure back: the failed list has it', async () => {
  const folder = modules({ 'backend.mjs': `export const save = () => new Promise(() => {})` })
  const said: unknown[] = []
  const log = { error: (fields: object, text: string) => void said.push([fields, text]) } as unknown as Logger
  const backends = await createFailureBackends(
    [{ kind: 'multi-queue' }, { kind: 'module', file: join(folder, 'backend.mjs') }],
    log,
    20,
  )
  const ending = await backends.ending({
    job: { id: 'a', queue: 'q', class: 'A', attempt: 1, payload: {} },
    error: { type: 'Error', message: 'broken', backtrace: [] },
    failedAt: new Date(0),
    worker: 'w',
  } as unknown as Failure)
  expect(ending).toMatchObject({ verb: 'failed', lists: 'rm' })
  expect(said).toEqual([
    [
      { job: 'a', 'error.message': 'it has not settled after 0.02 s' },
      'the failure backend failed; the failed list is used',
    ],
  ])
})

test('a generator function is refused: its call runs nothing', async () => {
  const folder = modules({
    'gen.mjs': `export class Gen { async *perform() {} }`,
  })
  await expect(loadJobs(folder)).rejects.toMatchObject({
    code: 'JOBS',
    message: expect.stringContaining('job Gen: it is a generator function') as string,
  })
})
