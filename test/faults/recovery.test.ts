import type { Redis } from 'ioredis'
import { describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { expectKept, idOf, job, takeAccount, type Sent } from '../support/ledger.ts'
import { accountAtRest, fencings, flowOf, recordsOf } from '../support/rest.ts'
import { scenario } from '../support/scenario.ts'
import { waitFor } from '../support/wait.ts'

const order = (sent: readonly Sent[]): string[] => sent.map(({ id }) => id)

/** As if the only worker there is ran in a pid namespace of its own, as containers do. */
async function moveElsewhere(redis: Redis, ns: string): Promise<void> {
  const processes = `${ns}:ext:processes`
  const [nonce, registration] = Object.entries(await redis.hgetall(processes))[0] as [string, string]
  const elsewhere = { ...(JSON.parse(registration) as object), pid_namespace: 'pid:[1]' }
  await redis.hset(processes, nonce, JSON.stringify(elsewhere))
}

describe('a successor', () => {
  test('takes over at once when the container restarts in its pod, whatever became of its predecessor', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const env = { POD_NAME: 'mailer-1', POD_NAMESPACE: 'mail', POD_UID: 'a1b2', CONTAINER_NAME: 'worker' }
    const { ledger, sender, start } = scenario(redisUrl, ns, { concurrency: 2, env })
    const first = await start()
    const jobs = [job('q', 'Gate', [ledger.gate]), job('q', 'Gate', [ledger.gate])]
    await sender.send(...jobs)
    for (const { id } of jobs) await ledger.sees('start', id)
    // So that nothing but the equal instance name can tell.
    first.process.pause()
    await moveElsewhere(redis, ns)
    const second = await start()
    const { reason, back } = await second.says('released a gone worker')
    expect({ reason, back }).toEqual({ reason: 'instance', back: 2 })
    for (const { id } of jobs) await ledger.sees('start', id, 2)
    await first.process.kill()
    ledger.open()
    expectKept(jobs, await accountAtRest(redis, ns, ledger), ledger)
    await second.stop()
  })

  test('on the same host takes over at once from a process that is dead', async ({ redis, redisUrl, ns }) => {
    const { ledger, sender, start } = scenario(redisUrl, ns, { concurrency: 2 })
    const first = await start()
    const jobs = [job('q', 'Gate', [ledger.gate]), job('q', 'Gate', [ledger.gate])]
    await sender.send(...jobs)
    for (const { id } of jobs) await ledger.sees('start', id)
    await first.process.kill()
    const second = await start()
    const { reason, back } = await second.says('released a gone worker')
    expect({ reason, back }).toEqual({ reason: 'dead', back: 2 })
    for (const { id } of jobs) await ledger.sees('start', id, 2)
    ledger.open()
    expectKept(jobs, await accountAtRest(redis, ns, ledger), ledger)
    await second.stop()
  })

  const POD = { POD_NAME: 'm-1', POD_NAMESPACE: 'mail', POD_UID: 'a1b2' }
  test.for([
    ['of the same host', {}, false],
    ['in the same container', { ...POD, CONTAINER_NAME: 'worker' }, false],
    ['in another container of its pod, which does not say its name', { ...POD, CONTAINER_NAME: undefined }, true],
  ] as const)('leaves living workers %s alone', async ([, env, isElsewhere], { redis, redisUrl, ns }) => {
    const { ledger, sender, start } = scenario(redisUrl, ns, { args: ['--worker-name', 'twin'], env })
    const first = await start()
    const slow = job('q', 'Gate', [ledger.gate])
    await sender.send(slow)
    await ledger.sees('start', slow.id)
    if (isElsewhere) await moveElsewhere(redis, ns)
    const second = await start()
    const other = job('q', 'Note', [0])
    await sender.send(other)
    await ledger.sees('end', other.id)
    ledger.open()
    await ledger.sees('end', slow.id)
    await Promise.all([first.stop(), second.stop()])
    expect(fencings([first, second])).toBe(0)
    expect(ledger.of('start', slow.id).length).toBe(1)
  })
})

describe('a job that kills its worker', () => {
  test('is tried again as often as it may be and then is a failed one', async ({ redis, redisUrl, ns }) => {
    const { ledger, sender, start, launch } = scenario(redisUrl, ns)
    const poison = job('q', 'Poison')
    await sender.send(poison)
    for (const isolation of ['inline', 'fork', 'inline'] as const) {
      const worker = launch({ isolation, args: ['--max-recoveries', '2'] })
      expect((await worker.process.waitForExit()).signal).toBe('SIGKILL')
    }
    const survivor = await start({ args: ['--max-recoveries', '2'] })
    const [entry = ''] = await waitFor(
      async () => (await redis.llen(`${ns}:failed`)) > 0 && redis.lrange(`${ns}:failed`, 0, -1),
    )
    expect(JSON.parse(entry)).toMatchObject({ exception: 'DirtyExit', queue: 'q', backtrace: [] })
    expect(entry).toContain(poison.raw)
    const next = job('q', 'Note', [0])
    await sender.send(next)
    await ledger.sees('end', next.id)
    expect(ledger.of('start', poison.id).length).toBe(3)
    expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
    await survivor.stop()
  })

  test('does not count against equal jobs that one crash hit together', async ({ redis, redisUrl, ns }) => {
    const { ledger, start } = scenario(redisUrl, ns)
    const raw = '{"class":"Gate","args":["nowhere"]}'
    await redis.rpush(`${ns}:queue:q`, ...Array.from({ length: 10 }, () => raw))
    for (let crash = 0; crash < 2; crash++) {
      const worker = await start({ concurrency: 10, args: ['--max-recoveries', '2'] })
      await waitFor(() => ledger.of('start').length === 10 * (crash + 1))
      await worker.process.kill()
    }
    const heir = await start({ concurrency: 10, args: ['--max-recoveries', '2', '--shutdown-timeout', '0'] })
    await waitFor(() => ledger.of('start').length === 30)
    expect(await redis.llen(`${ns}:failed`)).toBe(0)
    await heir.stop()
    expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(Array.from({ length: 10 }, () => raw))
  })
})

describe('jobs that are put back', () => {
  test('stand in front of their queues in the order in which they were taken', async ({ redis, redisUrl, ns }) => {
    const slots = 18 // in two shifts
    const { ledger, sender, start } = scenario(redisUrl, ns)
    const first = Array.from({ length: slots }, (_, n) => job(n % 2 === 0 ? 'a' : 'b', 'Gate', [ledger.gate]))
    await sender.send(...first)
    const worker = await start({ queues: 'a,b', concurrency: slots, args: ['--shutdown-timeout', '0.2'] })
    await waitFor(() => ledger.of('start').length === slots)
    const behind = [job('a', 'Note', [0]), job('b', 'Note', [0])]
    await sender.send(...behind)
    expect(await worker.stop()).toEqual({ code: 0, signal: null })
    for (const queue of ['a', 'b']) {
      const now = (await redis.lrange(`${ns}:queue:${queue}`, 0, -1)).map(idOf)
      expect(now).toEqual(order([...first, ...behind].filter((one) => one.queue === queue)))
    }
    expectKept(sender.acknowledged, await takeAccount(redis, ns, ledger), ledger)
    expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
  })

  test('keep that order when their worker was killed, after slots changed hands many times', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const { ledger, sender, start } = scenario(redisUrl, ns, { concurrency: 5 })
    // Short ones in front shuffle the slots.
    const short = Array.from({ length: 20 }, (_, n) => job('q', 'Note', [(n * 7) % 13]))
    const long = Array.from({ length: 5 }, () => job('q', 'Gate', [ledger.gate]))
    await sender.send(...short, ...long, job('q', 'Note', [0]))
    const worker = await start()
    for (const { id } of long) await ledger.sees('start', id)
    await worker.process.kill()
    const heir = await start({ queues: 'elsewhere' })
    await heir.says('released a gone worker')
    const now = (await redis.lrange(`${ns}:queue:q`, 0, -1)).map(idOf)
    expect(now).toEqual(order(sender.acknowledged.slice(short.length)))
    await heir.stop()
  })
})

describe('jobs that came while their worker was told to pause', () => {
  test('go back in the order in which they stood', async ({ redis, redisUrl, ns }) => {
    const { sender, start } = scenario(redisUrl, ns, { concurrency: 5 })
    const worker = await start()
    await sender.send(job('q', 'Note', [0])) // what comes next meets a turn that waits for its token
    await waitFor(async () => (await flowOf(redis, ns, 'q')).ended === 1)
    await waitFor(async () => /cmd=blpop/.test(String(await redis.client('LIST'))))
    worker.process.signal('SIGUSR2')
    await worker.says('paused')
    const jobs = Array.from({ length: 8 }, () => job('q', 'Note', [0]))
    await sender.send(...jobs)
    await waitFor(async () => {
      const { started, ended, returned } = await flowOf(redis, ns, 'q')
      return returned > 1 && started === ended + returned
    })
    expect((await redis.lrange(`${ns}:queue:q`, 0, -1)).map(idOf)).toEqual(order(jobs))
    await worker.stop()
  })
})

describe('records', () => {
  test('that a worker holds are what it runs, once it is at rest', async ({ redis, redisUrl, ns }) => {
    const { ledger, sender, start } = scenario(redisUrl, ns)
    const worker = await start({ concurrency: 3 })
    const slow = [job('q', 'Gate', [ledger.gate]), job('q', 'Gate', [ledger.gate])]
    await sender.send(...slow)
    for (const { id } of slow) await ledger.sees('start', id)
    // As after a failover that forgot the end of a job: a record that the worker knows nothing of.
    const unknown = job('q', 'Note', [0])
    const taken = await recordsOf(redis, ns, worker.nonce)
    const free = [0, 1, 2].find((slot) => taken[slot] === undefined)
    await redis.hset(`${ns}:ext:inflight:${worker.nonce}`, `${free}`, `1 ${Date.now()} 1 q${unknown.raw}`)
    await ledger.sees('end', unknown.id)
    await waitFor(async () => Object.keys(await recordsOf(redis, ns, worker.nonce)).length === 2)
    const held = Object.values(await recordsOf(redis, ns, worker.nonce)).map((record) => idOf(record))
    expect(held.sort()).toEqual(order(slow).sort())
    ledger.open()
    await waitFor(async () => Object.keys(await recordsOf(redis, ns, worker.nonce)).length === 0)
    await worker.stop()
    expect(await redis.get(`${ns}:stat:processed`)).toBe('3')
  })
})
