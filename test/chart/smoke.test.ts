import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { ROOT, spawnCli, spawnCommand, type TestProcess } from '../support/process.ts'

const FILES = join(ROOT, 'charts', 'resqueue', 'files')
const SCRIPT = readFileSync(join(FILES, 'test.sh'), 'utf8')

/** What the pod of `helm test` runs. */
function runScript(redisUrl: string, ns: string, jobClass: string, seconds: number): TestProcess {
  const queue = 'helm-test'
  const cli = [process.execPath, join(ROOT, 'src', 'bin.ts')]
  return spawnCommand('sh', ['-euc', SCRIPT, 'resqueue', ...cli], {
    env: {
      REDIS_URL: redisUrl,
      PREFIX: ns,
      TEST_QUEUE: queue,
      TEST_CLASS: jobClass,
      TEST_JOB: JSON.stringify({ args: [{ seconds: 0 }], class: jobClass, queue }),
      TEST_SECONDS: String(seconds),
    },
  })
}

async function startWorker(redisUrl: string, ns: string): Promise<TestProcess> {
  const where = ['--redis', redisUrl, '--namespace', ns, '--port', '0']
  const worker = spawnCli(['work', '--queues', '*', '--jobs', join(FILES, 'demo-jobs.mjs'), ...where])
  await worker.waitForLine('"worker started"')
  return worker
}

test('the test pod sees a job of a pool done', async ({ redisUrl, ns }) => {
  const worker = await startWorker(redisUrl, ns)
  for (const name of ['ResQueueCheck', 'Hello', 'Sleep']) {
    const script = runScript(redisUrl, ns, name, 20)
    const exit = await script.waitForExit()
    expect(exit.code, script.stdout + script.stderr).toBe(0)
    expect(script.stdout).toContain('performed')
  }
  expect(worker.stdout).toContain('Hello, world')
})

test('the test pod says when no worker knows the class', async ({ redisUrl, ns }) => {
  await startWorker(redisUrl, ns)
  const script = runScript(redisUrl, ns, 'Unknown', 20)
  expect((await script.waitForExit()).code).toBe(1)
  expect(script.stderr).toContain('test.job.class')
})

test('the test pod says when nobody performs the job', async ({ redisUrl, ns }) => {
  const script = runScript(redisUrl, ns, 'Hello', 1)
  expect((await script.waitForExit()).code).toBe(1)
  expect(script.stderr).toContain('was not performed within 1 s')
  expect(script.stdout).toContain('helm-test')
})
