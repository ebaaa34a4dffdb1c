import { resolve } from 'node:path'
import type { Redis } from 'ioredis'
import { expect } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { silentLogger, type Logger } from '../../src/log.ts'
import { openStore } from '../../src/redis/store.ts'
import { createCaretaker, type Caretaker } from '../../src/worker/caretaker.ts'
import { loadParentHooks } from '../../src/worker/parenthooks.ts'
import { test } from '../support/fixtures.ts'
import { ROOT } from '../support/process.ts'
import { startProxy } from '../support/proxy.ts'
import { own } from '../support/scope.ts'

interface Given {
  readonly log?: Partial<Logger>
  /** A file with hooks. */
  readonly hooks?: string
  readonly recovered?: (jobs: number) => void
  /** Milliseconds by which its clock is ahead by now. */
  readonly skipped?: () => number
  readonly listenersMs?: number
}

/** A caretaker with a connection of its own, on which Redis is reached at once. */
async function startCaretaker(url: string, namespace: string, given: Given = {}): Promise<Caretaker> {
  const { recovered = () => undefined, skipped = () => 0, listenersMs = 5000 } = given
  const store = openStore({ url, namespace })
  own('store', () => store.close())
  await store.command('ping', [])
  const log: Logger = { ...silentLogger, ...given.log }
  return createCaretaker(store, {
    maxRecoveries: 3,
    log,
    observer: { jobStarted() {}, jobFinished() {}, forked() {}, recovered },
    hooks: await loadParentHooks(given.hooks, log),
    clock: { now: systemClock.now, monotonic: () => systemClock.monotonic() + skipped() },
    listenersMs,
  })
}

/** Makes the last look of any process so long ago. Milliseconds. */
async function lookedBefore(redis: Redis, ns: string, ms: number): Promise<void> {
  const [seconds, microseconds] = await redis.time()
  await redis.set(`${ns}:ext:look`, `${Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000) - ms} 0`)
}

test('looks for lapsed leases go with renewals: one that comes early waits until two seconds are over, the next does not', async ({
  redis,
  redisUrl,
  ns,
}) => {
  let skipped = 0
  const caretaker = await startCaretaker(redisUrl, ns, { skipped: () => skipped })
  const lastLook = async (): Promise<number> => Number.parseInt((await redis.get(`${ns}:ext:look`)) ?? '', 10)
  const skip = async (ms: number): Promise<number> => {
    skipped += ms
    const then = (await lastLook()) - ms
    await redis.set(`${ns}:ext:look`, `${then} 0`)
    return then
  }
  await caretaker.reap({})

  const first = await skip(200)
  const early = caretaker.reap({})
  await caretaker.reap({})
  expect(await lastLook()).toBe(first)
  await early
  expect(await lastLook()).toBeGreaterThanOrEqual(first + 2000)

  const over = new AbortController()
  const second = await skip(200)
  const left = caretaker.reap({ signal: over.signal })
  over.abort()
  await left
  expect(await lastLook()).toBe(second)
})

test('a beforeDelayedEnqueue listener that never settles is left to itself: what is due is moved', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const said: string[] = []
  const caretaker = await startCaretaker(redisUrl, ns, {
    log: { error: (_fields, message) => void said.push(message) },
    hooks: resolve(ROOT, 'test/fixtures/hooks/neverdelayed.ts'),
    listenersMs: 20,
  })
  for (const round of [1, 2]) {
    await redis.zadd(`${ns}:delayed_queue_schedule`, round, round)
    await redis.rpush(`${ns}:delayed:${round}`, `{"class":"Job","args":[${round}],"queue":"q"}`)
    await caretaker.promote({ retry: true, delayed: true }, {})
    expect(await redis.llen(`${ns}:queue:q`)).toBe(round)
    expect(said).toHaveLength(round)
  }
})

test('what is due is not promised another try by a worker that has left', async ({ redisUrl, ns }) => {
  const said: string[] = []
  const caretaker = await startCaretaker(redisUrl, ns, { log: { warn: (_fields, message) => void said.push(message) } })
  await caretaker.promote({ retry: true, delayed: true }, { signal: AbortSignal.abort() })
  expect(said).toEqual([])
})

test('a gone process that cannot be released is named once, and others are released all the same', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const job = (n: number): string => `{"class":"Job","args":[${n}],"queue":"q"}`
  const record = (n: number): string => `${n} 1700000000000 1 q${job(n)}`
  const nonces = ['aaaaaaaaaaaa', 'bbbbbbbbbbbb', 'cccccccccccc']
  for (const nonce of nonces) {
    await redis.hset(
      `${ns}:ext:processes`,
      nonce,
      JSON.stringify({ nonce, name: `h.${nonce}`, tail: ':1:q', slots: 2 }),
    )
    await redis.hset(`${ns}:ext:suspects`, nonce, 1)
  }
  await redis.set(`${ns}:ext:inflight:aaaaaaaaaaaa`, 'text')
  await redis.hset(`${ns}:ext:inflight:bbbbbbbbbbbb`, { registered: 1, k: 2, 0: record(1), 1: 'garbage' })
  await redis.hset(`${ns}:ext:inflight:cccccccccccc`, { registered: 1, k: 1, 0: record(2) })

  let skipped = 0
  let jobs = 0
  const said: { readonly message: string; readonly key?: string }[] = []
  const caretaker = await startCaretaker(redisUrl, ns, {
    log: { warn: (fields, message) => void said.push({ ...fields, message }) },
    recovered: (more) => void (jobs += more),
    skipped: () => skipped,
  })
  for (let round = 0; round < 2; round++) {
    await lookedBefore(redis, ns, 2500)
    await caretaker.reap({})
    skipped += 3000
  }
  expect((await redis.lrange(`${ns}:queue:q`, 0, -1)).sort()).toEqual([job(1), job(2)])
  expect(await redis.hgetall(`${ns}:ext:inflight:bbbbbbbbbbbb`)).toEqual({ registered: '1', k: '2', 1: 'garbage' })
  expect((await redis.hkeys(`${ns}:ext:processes`)).sort()).toEqual(nonces.slice(0, 2))
  expect(jobs).toBe(1)
  const stuck = said.filter(({ message }) => message.startsWith('a gone worker process cannot be released'))
  expect(stuck).toHaveLength(2)
  expect(new Set(stuck.map(({ key }) => key))).toEqual(
    new Set(nonces.slice(0, 2).map((nonce) => `${ns}:ext:inflight:${nonce}`)),
  )
})

test('hundreds of processes that die at once are all released by the next look', async ({ redis, redisUrl, ns }) => {
  const nonces = Array.from({ length: 600 }, (_, i) => i.toString(16).padStart(12, '0'))
  const dying = redis.pipeline()
  for (const nonce of nonces) {
    const registration = JSON.stringify({ nonce, name: `h.${nonce}`, tail: ':1:q', slots: 1 })
    dying.hset(`${ns}:ext:processes`, nonce, registration).hset(`${ns}:ext:suspects`, nonce, 1)
    dying.hset(`${ns}:ext:inflight:${nonce}`, { registered: 1, k: 1, 0: `1 1 1 q{"class":"Job","args":["${nonce}"]}` })
  }
  await dying.exec()
  const caretaker = await startCaretaker(redisUrl, ns)
  await lookedBefore(redis, ns, 2500)
  await caretaker.reap({})
  expect(await redis.hlen(`${ns}:ext:processes`)).toBe(0)
  expect(await redis.llen(`${ns}:queue:q`)).toBe(600)
})

test('a gone process whose release is refused for the moment is released later, and nothing is said of its key', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const nonce = 'aaaaaaaaaaaa'
  await redis.hset(`${ns}:ext:processes`, nonce, JSON.stringify({ nonce, name: `h.${nonce}`, tail: ':1:q', slots: 1 }))
  await redis.hset(`${ns}:ext:suspects`, nonce, 1)
  const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
  const refused = proxy.on(({ args }) => args.some((arg) => arg.equals(Buffer.from(nonce))), {
    kind: 'answer',
    reply: "-READONLY You can't write against a read only replica.\r\n",
  })
  let skipped = 0
  const said: string[] = []
  const caretaker = await startCaretaker(proxy.url, ns, {
    log: { warn: (_fields, message) => void said.push(message) },
    skipped: () => skipped,
  })
  for (const left of [1, 0]) {
    await lookedBefore(redis, ns, 2500)
    await caretaker.reap({})
    skipped += 3000
    expect(await redis.hlen(`${ns}:ext:processes`)).toBe(left)
  }
  expect(refused.hits).toBe(1)
  expect(said).toEqual(['released a gone worker process and recovered 0 jobs'])
})

test('due jobs of one kind are moved though those of the other cannot be', async ({ redis, redisUrl, ns }) => {
  const said: string[] = []
  const caretaker = await startCaretaker(redisUrl, ns, {
    log: { warn: (_fields, message) => void said.push(message) },
  })
  await redis.set(`${ns}:ext:retry`, 'text')
  await redis.zadd(`${ns}:delayed_queue_schedule`, 1, 1)
  await redis.rpush(`${ns}:delayed:1`, '{"class":"Job","args":[],"queue":"q"}')
  await caretaker.promote({ retry: true, delayed: true }, {})
  expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
  expect(said).toEqual([expect.stringContaining('due jobs could not be moved')])
})

test('what is due and no queue takes is put into quarantine, which is said', async ({ redis, redisUrl, ns }) => {
  const said: object[] = []
  const caretaker = await startCaretaker(redisUrl, ns, { log: { error: (fields) => void said.push(fields) } })
  await redis.set(`${ns}:queue:bad`, 'text')
  await redis.zadd(`${ns}:ext:retry`, 5, 'n.1 1 3 1 badE{"class":"A"}')
  await redis.zadd(`${ns}:delayed_queue_schedule`, 1, 1)
  const [fine, lost] = ['{"class":"Job","args":[],"queue":"q"}', '{"class":"Job","args":[]}']
  await redis.rpush(`${ns}:delayed:1`, lost, fine, lost)
  await caretaker.promote({ retry: true, delayed: true }, {})
  expect(await redis.llen(`${ns}:ext:quarantine`)).toBe(3)
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([fine])
  expect(await redis.smembers(`${ns}:queues`)).toEqual(['q'])
  expect(said).toEqual([{ payloads: 1 }, { payloads: 2 }])
})
