import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { expectKept, idOf, job, LEDGER_JOBS, takeAccount, type Sent } from '../support/ledger.ts'
import { ROOT, spawnCommand } from '../support/process.ts'
import { accountAtRest } from '../support/rest.ts'
import { scenario } from '../support/scenario.ts'
import { own } from '../support/scope.ts'
import { never, waitFor } from '../support/wait.ts'

interface Failure {
  readonly exception: string
  readonly error: string
  readonly queue: string
  readonly attempt: number
  readonly worker: string
}

const failuresOf = (entries: readonly string[]): Failure[] => entries.map((entry) => JSON.parse(entry) as Failure)

function clientOf(redisUrl: string, ns: string): ResQueue {
  const client = new ResQueue({ redis: redisUrl, namespace: ns })
  own('client', () => client.close())
  return client
}

describe('a worker', () => {
  test('with --burst does what is there in the order of its queues and leaves with 0, also after failures', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const { ledger, sender, launch } = scenario(redisUrl, ns)
    const sent = [job('low', 'Note', [0]), job('high', 'Fail', [0]), job('low', 'Note', [0]), job('high', 'Note', [0])]
    await sender.send(...sent)
    const worker = launch({ queues: 'high,low', isolation: 'fork', args: ['--burst'] })
    expect(await worker.process.waitForExit()).toEqual({ code: 0, signal: null })
    expect(ledger.of('start').map(({ id }) => id)).toEqual([1, 3, 0, 2].map((n) => sent[n]?.id))
    expectKept(sent, await takeAccount(redis, ns, ledger), ledger)
    expect(await redis.mget(`${ns}:stat:processed`, `${ns}:stat:failed`)).toEqual(['4', '1'])
  })

  test('whose log cannot be written works on, and ends as it should', async ({ redis, redisUrl, ns }) => {
    const { ledger, sender } = scenario(redisUrl, ns)
    const sent = [job('q', 'Note', [0]), job('q', 'Fail', [0]), job('q', 'Note', [0])]
    await sender.send(...sent)
    const words = ['work', '--redis', redisUrl, '--namespace', ns, '--queues', 'q', '--burst', '--port', '0']
    const worker = spawnCommand(
      'sh',
      ['-c', 'exec "$@" >/dev/full', 'sh', process.execPath, `${ROOT}src/bin.ts`, ...words, '--jobs', LEDGER_JOBS],
      { env: ledger.env },
    )
    expect(await worker.waitForExit()).toEqual({ code: 0, signal: null })
    expectKept(sent, await takeAccount(redis, ns, ledger), ledger)
    expect(await redis.mget(`${ns}:stat:processed`, `${ns}:stat:failed`)).toEqual(['3', '1'])
  })

  test('with --max-jobs does exactly so many and leaves', async ({ redis, redisUrl, ns }) => {
    const { ledger, sender, launch } = scenario(redisUrl, ns)
    await sender.send(...Array.from({ length: 8 }, () => job('q', 'Note', [1])))
    const worker = launch({ concurrency: 3, args: ['--max-jobs', '5'] })
    expect(await worker.process.waitForExit()).toEqual({ code: 0, signal: null })
    expect(ledger.of('end').length).toBe(5)
    expect(await redis.llen(`${ns}:queue:q`)).toBe(3)
    expect(await redis.get(`${ns}:stat:processed`)).toBe('5')
  })

  test('does not notice that Redis has forgotten all scripts', async ({ redisUrl, ns, redis }) => {
    const { ledger, sender, start } = scenario(redisUrl, ns)
    const worker = await start({ concurrency: 2 })
    for (let round = 0; round < 4; round++) {
      await redis.script('FLUSH')
      const one = job('q', 'Note', [0])
      await sender.send(one)
      await ledger.sees('end', one.id)
    }
    await waitFor(async () => (await redis.get(`${ns}:stat:processed`)) === '4')
    expect(ledger.of('start').length).toBe(4)
    await worker.stop()
  })

  test('performs a payload of 50 MB and class names with odd characters, and keeps the bytes of both', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const { ledger, sender, start } = scenario(redisUrl, ns)
    const big = job('q', 'Big', ['x'.repeat(50_000_000)])
    const bigFailure = job('q', 'Unknown', ['y'.repeat(5_000_000)])
    const odd = [job('q', 'App\\Jobs\\Odd "name" \u2028é', [0]), job('q', 'No/such::"class" \u0007 😀', [0])]
    const worker = await start({ isolation: 'fork' })
    await sender.send(big)
    await sender.send(bigFailure)
    await sender.send(...odd)
    expect((await ledger.sees('size', big.id, 1)).more).toEqual(['50000000'])
    const account = await accountAtRest(redis, ns, ledger)
    expectKept([big, bigFailure, ...odd], account, ledger)
    expect(new Set(account.performed.keys())).toEqual(new Set([big.id, odd[0]?.id]))
    expect(new Set(account.failed.keys())).toEqual(new Set([bigFailure.id, odd[1]?.id]))
    expect((await worker.get('/metrics')).body).toContain('resqueue_jobs_finished_total')
    await worker.stop()
  })

  test('puts what is no job into quarantine and goes on', async ({ redis, redisUrl, ns }) => {
    const { ledger, sender, start } = scenario(redisUrl, ns)
    const worker = await start()
    const good = job('q', 'Note', [0])
    const bad = ['not json', '{"class":"Note","args":[', '[]', '{"args":[]}', '{"class":"Note","args":[1],}', '']
    await redis.sadd(`${ns}:queues`, 'q')
    await redis.rpush(`${ns}:queue:q`, ...bad)
    await sender.send(good)
    await ledger.sees('end', good.id)
    const account = await accountAtRest(redis, ns, ledger)
    expect([...account.quarantined.values()].sort()).toEqual(bad.toSorted())
    expect(await redis.get(`${ns}:stat:processed`)).toBe('1')
    const told = (): number =>
      worker.log
        .filter(({ msg }) => msg.endsWith('put into quarantine'))
        .reduce((sum, { payloads = 1 }) => sum + Number(payloads), 0)
    await waitFor(() => told() === bad.length, { describe: told })
    await worker.stop()
  })

  test('names itself in the process list: what it serves and what it does', async ({ redisUrl, ns }) => {
    const { ledger, sender, start } = scenario(redisUrl, ns)
    const worker = await start({ queues: 'q', isolation: 'fork' })
    const title = (): string => readFileSync(`/proc/${worker.pid}/cmdline`, 'utf8').replaceAll('\0', '')
    await waitFor(() => /^resque-\d\S* \(q\): Waiting/.test(title()), { describe: title })
    const one = job('q', 'Gate', [ledger.gate])
    await sender.send(one)
    const { pid } = await ledger.sees('start', one.id)
    await waitFor(() => /^resque-\d\S* \(q\): Processing 1 since \d{4}/.test(title()), { describe: title })
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toMatch(/^resque-\d/)
    ledger.open()
    await waitFor(() => /^resque-\d\S* \(q\): Waiting/.test(title()), { describe: title })
    worker.process.signal('SIGUSR2')
    await waitFor(() => /^resque-\d\S* \(q\): Paused/.test(title()), { describe: title })
    await worker.stop()
  })
})

describe('a pause', () => {
  test('of one worker, of a queue and of all workers holds jobs back and lets them go again', async ({
    redisUrl,
    ns,
  }) => {
    const { ledger, sender, start } = scenario(redisUrl, ns)
    const client = clientOf(redisUrl, ns)
    const worker = await start({ queues: 'a,b', args: ['--interval', '0.2'] })
    const held: Sent[] = []
    const send = async (queue: string): Promise<Sent> => {
      const one = job(queue, 'Note', [0])
      await sender.send(one)
      return one
    }
    const pauses: readonly (readonly [
      pause: () => Promise<unknown>,
      resume: () => Promise<unknown>,
      other: boolean,
    ])[] = [
      [() => client.workers.pause(worker.nonce), () => client.workers.resume(worker.nonce), false],
      [() => client.queues.pause('a'), () => client.queues.resume('a'), true],
      [() => client.queues.pauseAll(), () => client.queues.resumeAll(), false],
    ]
    for (const [pause, resume, other] of pauses) {
      await pause()
      const one = await send('a')
      held.push(one)
      if (other) await ledger.sees('end', (await send('b')).id)
      await never(500, () => ledger.of('start', one.id).length > 0, 'a job taken during a pause')
      await resume()
      await ledger.sees('end', one.id, 1, 10_000)
    }
    expect(held.length).toBe(3)
    await worker.stop()
  })
})

describe('queues', () => {
  test('that appear later are served under a pattern, in the order of the names, without those that are skipped', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const { ledger, sender, start } = scenario(redisUrl, ns)
    const worker = await start({ queues: 'first,mail-*,!mail-slow', args: ['--interval', '0.2'] })
    const all = await start({ queues: '*,!*slow,!first,!mail-*', args: ['--interval', '0.2'] })
    const served = ['first', 'mail-new', 'mail-x', 'anything'].map((queue) => job(queue, 'Note', [0]))
    const skipped = [job('mail-slow', 'Note', [0]), job('very-slow', 'Note', [0])]
    await sender.send(...skipped, ...served)
    for (const { id } of served) await ledger.sees('end', id)
    const pidOf = (queue: string): number | undefined =>
      ledger.of('start', served.find((one) => one.queue === queue)?.id)[0]?.pid
    expect([pidOf('first'), pidOf('mail-new'), pidOf('mail-x'), pidOf('anything')]).toEqual([
      worker.pid,
      worker.pid,
      worker.pid,
      all.pid,
    ])
    expect((await redis.lrange(`${ns}:queue:mail-slow`, 0, -1)).map(idOf)).toEqual([skipped[0]?.id])
    expect((await redis.lrange(`${ns}:queue:very-slow`, 0, -1)).map(idOf)).toEqual([skipped[1]?.id])
    // Others are told the whole list, though Ruby's registry has no skips.
    const listed = (await clientOf(redisUrl, ns).workers.list()).map(({ pid, queues }) => [pid, queues.join()])
    expect(Object.fromEntries(listed)).toEqual({
      [worker.pid]: 'first,mail-*,!mail-slow',
      [all.pid]: '*,!*slow,!first,!mail-*',
    })
    await Promise.all([worker.stop(), all.stop()])
  })
})

describe('a job that fails', () => {
  test('is retried as its class says, after fixed, doubling and listed delays', async ({ redis, redisUrl, ns }) => {
    const { ledger, sender, start } = scenario(redisUrl, ns)
    const worker = await start({ concurrency: 4, args: ['--interval', '0.05'] })
    const heals = [job('q', 'Fixed', [3]), job('q', 'Doubling', [4]), job('q', 'Listed', [2]), job('q', 'Later', [])]
    const dies = [job('q', 'Fixed', [9]), job('q', 'Listed', [9]), job('q', 'Unretried', []), job('q', 'Fail', [0])]
    await sender.send(...heals, ...dies)
    const account = await accountAtRest(redis, ns, ledger)
    expectKept([...heals, ...dies], account, ledger)
    const attempts = (one: Sent): number[] => ledger.of('start', one.id).map(({ attempt }) => attempt)
    expect(heals.map(attempts)).toEqual([
      [1, 2, 3],
      [1, 2, 3, 4],
      [1, 2],
      [1, 2],
    ])
    expect(dies.map(attempts)).toEqual([[1, 2, 3], [1, 2, 3], [1], [1]])
    expect(new Set(account.failed.keys())).toEqual(new Set(dies.map(({ id }) => id)))
    const failures = failuresOf(await redis.lrange(`${ns}:failed`, 0, -1))
    expect(failures.map(({ attempt }) => attempt).toSorted((a, b) => a - b)).toEqual([1, 1, 3, 3])
    // The delays that were promised have passed between the attempts.
    const gaps = (one: Sent | undefined): number[] => {
      const times = ledger.of('start', one?.id).map(({ at }) => at)
      return times.slice(1).map((at, i) => at - (times[i] ?? 0))
    }
    expect(gaps(heals[0]).every((ms) => ms >= 49)).toBe(true)
    expect(gaps(heals[1]).map((ms, i) => ms >= 50 * 2 ** i - 1)).toEqual([true, true, true])
    expect(gaps(dies[1]).map((ms, i) => ms >= (i === 0 ? 19 : 199))).toEqual([true, true])
    await waitFor(async () => (await redis.get(`${ns}:stat:processed`)) === '19')
    expect(await redis.get(`${ns}:stat:failed`)).toBe('15')
    expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
    await worker.stop()
  })

  test('because its time is over says so: by its class, by its payload, by the worker', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const { ledger, sender, start } = scenario(redisUrl, ns)
    const worker = await start({ isolation: 'fork', concurrency: 3, args: ['--timeout', '1', '--kill-delay', '0.2'] })
    const byClass = job('q', 'Brief', [ledger.gate])
    const byWorker = job('q', 'Deaf', [ledger.gate])
    await sender.send(byClass, byWorker)
    const own = await clientOf(redisUrl, ns).enqueue({ queue: 'q', class: 'Gate', args: [ledger.gate], timeout: 0.4 })
    await waitFor(async () => (await redis.llen(`${ns}:failed`)) === 3)
    const failures = await redis.lrange(`${ns}:failed`, 0, -1)
    const errorOf = (id: unknown): string | undefined =>
      failuresOf(failures.filter((entry) => entry.includes(`"${String(id)}"`)))[0]?.error
    expect([errorOf(byClass.id), errorOf(own), errorOf(byWorker.id)]).toEqual([
      'Job ran longer than its timeout of 0.3 s',
      'Job ran longer than its timeout of 0.4 s',
      'Job ran longer than its timeout of 1 s',
    ])
    expect(ledger.of('end')).toEqual([])
    await worker.stop()
  })

  test('goes to the backends that were asked for, and to the failed list when one of them throws', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const folder = mkdtempSync(join(tmpdir(), 'resqueue-backend-'))
    own('backend', () => rmSync(folder, { recursive: true, force: true }))
    const told = join(folder, 'told')
    writeFileSync(
      join(folder, 'backend.mjs'),
      `import { appendFileSync } from 'node:fs'
       export function save({ job, error }) {
         appendFileSync(${JSON.stringify(told)}, job.id + ' ' + error.type + '\\n')
         if (job.queue === 'bad') throw new Error('backend is down')
       }`,
    )
    const { sender, start } = scenario(redisUrl, ns, { queues: 'good,bad' })
    const worker = await start({
      args: ['--failure-backend', `multi-queue,${join(folder, 'backend.mjs')}`],
    })
    const jobs = [job('good', 'Fail', [0]), job('bad', 'Fail', [0])]
    await sender.send(...jobs)
    await waitFor(async () => (await redis.get(`${ns}:stat:failed`)) === '2')
    expect(readFileSync(told, 'utf8')).toBe(jobs.map(({ id }) => `${id} RangeError\n`).join(''))
    expect((await redis.smembers(`${ns}:failed_queues`)).sort()).toEqual(['bad_failed', 'good_failed'])
    const [good, bad, all] = await Promise.all(
      ['good_failed', 'bad_failed', 'failed'].map((list) => redis.lrange(`${ns}:${list}`, 0, -1)),
    )
    expect([good?.length, bad?.length, all?.length]).toEqual([1, 1, 1])
    expect(good?.[0]).toContain(jobs[0]?.raw)
    expect(bad?.[0]).toContain(jobs[1]?.raw)
    expect(all?.[0]).toContain(jobs[1]?.raw)
    await worker.says('the failure backend failed')
    await worker.stop()
  })
})

test('its log names the errors of failures that are retried, warnings alone included, and no argument of what goes to quarantine', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const { launch } = scenario(redisUrl, ns)
  const extras = '"x":{"retry":{"attempts":2,"delays":[3600]}}'
  await redis.rpush(`${ns}:queue:q`, `{"class":"Fail","args":[0],${extras}}`, '{"class":"Note","args":["secret",NaN]}')
  const worker = launch({ args: ['--burst', '--log-level', 'warn'] })
  expect(await worker.process.waitForExit()).toEqual({ code: 0, signal: null })
  expect(worker.log.filter(({ queue }) => queue === 'q')).toMatchObject([
    {
      msg: 'job failed and is retried',
      result: 'retried',
      'error.type': 'RangeError',
      'error.message': 'told to fail',
    },
    { msg: 'payload put into quarantine', queue: 'q', reason: "it is not JSON: Unexpected token 'N'" },
  ])
})

test('endpoints answer while every slot burns its processor', async ({ redisUrl, ns }) => {
  const { ledger, sender, start } = scenario(redisUrl, ns)
  const worker = await start({ isolation: 'fork', concurrency: 4 })
  const burning = Array.from({ length: 4 }, () => job('q', 'Burn', [ledger.gate]))
  await sender.send(...burning)
  for (const { id } of burning) await ledger.sees('start', id)
  for (const path of ['/livez', '/readyz', '/metrics']) expect((await worker.get(path)).status).toBe(200)
  expect((await worker.get('/metrics')).body).toMatch(/^resqueue_slots_busy 4$/m)
  ledger.open()
  for (const { id } of burning) await ledger.sees('end', id)
  await worker.stop()
})
