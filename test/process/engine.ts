import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Engine, EngineOptions, JobRun } from '../../src/worker/engine.ts'
import { createEngine } from '../../src/worker/isolation.ts'
import type { Outcome } from '../../src/worker/outcome.ts'
import { ROOT } from '../support/process.ts'
import { own } from '../support/scope.ts'

export const fixture = (name: string): string => resolve(ROOT, 'test/fixtures/jobs', name)

/**
 * Taking the types out of the modules costs 0.1 s in every process that starts: done once, and kept by their content.
 * The processes under test leave without the teardown in which Node keeps them; this one begins as they do and then
 * finds no channel.
 */
process.env['NODE_COMPILE_CACHE'] ??= join(ROOT, 'build', 'compile-cache')
const config = {
  jobs: fixture('every.ts'),
  hooks: fixture('hooks.ts'),
  jobsPerChild: 0,
  worker: process.pid,
  title: 'warming',
}
const begin = `const { argv } = process
for (const entry of ['spawned', 'zygote']) {
  process.argv = [...argv]
  await import('${ROOT}/src/worker/' + entry + '.ts').catch(() => {})
}`
spawnSync(process.execPath, ['--input-type=module', '--eval', begin, '_', JSON.stringify(config)], {
  stdio: ['ignore', 'ignore', 'inherit', 'ignore'],
  timeout: 10_000,
})

/** A folder of the test's own, inside the checkout so that its modules find the package. */
export function folder(): string {
  mkdirSync(join(ROOT, 'build'), { recursive: true })
  const path = mkdtempSync(join(ROOT, 'build', 'jobs-'))
  own(path, () => rmSync(path, { recursive: true, force: true }))
  return path
}

/** A job module that loads unless its file `obstacle` exists. `otherwise` is what it does then. */
export function fragile(otherwise: string): { jobs: string; obstruct(): void; clear(): void } {
  const path = folder()
  const [jobs, obstacle] = [join(path, 'jobs.mjs'), join(path, 'obstacle')]
  const lines = [
    "import { existsSync } from 'node:fs'",
    `if (existsSync(${JSON.stringify(obstacle)})) ${otherwise}`,
    'export class Job { perform() { return 1 } }',
  ]
  writeFileSync(jobs, lines.join('\n'))
  return { jobs, obstruct: () => writeFileSync(obstacle, ''), clear: () => rmSync(obstacle) }
}

/** What every Node process that this test starts finds in `NODE_OPTIONS`. */
export function nodeOptions(value: string): void {
  const before = process.env['NODE_OPTIONS']
  process.env['NODE_OPTIONS'] = value
  own('NODE_OPTIONS', () => {
    if (before === undefined) delete process.env['NODE_OPTIONS']
    else process.env['NODE_OPTIONS'] = before
  })
}

/** An engine under test, with what it told. Stopped with the test. */
export interface Bench {
  readonly engine: Engine
  /** Lines of all jobs, as `stdout one`. */
  readonly output: string[]
  readonly notices: string[]
  readonly logs: unknown[]
  readonly forks: number[]
  /** Runs a job of `every.ts` (or of the module given) to its end. */
  run(name: string, args?: readonly unknown[], more?: Partial<JobRun>): Promise<Outcome>
  /** Begins one, and resolves when its process has said `ready`. */
  begin(
    name: string,
    args?: readonly unknown[],
  ): { outcome: Promise<Outcome>; abort(reason: unknown): void; pid: Promise<number> }
}

/** The engine as it is shipped. Its processes are not quite those of the sources: Node takes no types out in them. */
export async function shipped(): Promise<typeof createEngine> {
  const built = (await import(join(ROOT, 'dist/worker/isolation.js'))) as { createEngine: typeof createEngine }
  return built.createEngine
}

export async function bench(
  options: Partial<EngineOptions> & { isolation: EngineOptions['isolation'] },
  create: typeof createEngine = createEngine,
): Promise<Bench> {
  const output: string[] = []
  const notices: string[] = []
  const logs: unknown[] = []
  const forks: number[] = []
  const engine = await create({
    jobs: fixture('every.ts'),
    concurrency: 1,
    jobsPerChild: 1,
    killDelayMs: 300,
    events: {
      output: (_job, stream, line) => output.push(`${stream} ${line}`),
      log: (...line) => logs.push(line.slice(1)),
      forked: (_isolation, seconds) => forks.push(seconds),
      notice: (level, message) => notices.push(`${level} ${message}`),
    },
    ...options,
  })
  own('engine', async () => {
    engine.kill()
    await engine.stop()
  })
  const jobRun = (name: string, args: readonly unknown[], more: Partial<JobRun> = {}): JobRun => ({
    id: 'an-id',
    queue: 'mail',
    class: name,
    payload: JSON.stringify({ class: name, args, foreign: true }),
    attempt: 1,
    ...more,
  })
  return {
    engine,
    output,
    notices,
    logs,
    forks,
    run: async (name, args = [], more = {}) => engine.run(jobRun(name, args, more), new AbortController().signal),
    begin(name, args = []) {
      const controller = new AbortController()
      const { promise: pid, resolve: started } = Promise.withResolvers<number>()
      const outcome = Promise.resolve(engine.run(jobRun(name, args), controller.signal, started))
      return { outcome, pid, abort: (reason) => controller.abort(reason) }
    },
  }
}
