import { resolve } from 'node:path'
import { expect } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { silentLogger, type Logger } from '../../src/log.ts'
import { openStore } from '../../src/redis/store.ts'
import { createCaretaker } from '../../src/worker/caretaker.ts'
import { loadParentHooks } from '../../src/worker/parenthooks.ts'
import { test } from '../support/fixtures.ts'
import { ROOT } from '../support/process.ts'
import { own } from '../support/scope.ts'

const observer = { jobStarted() {}, jobFinished() {}, forked() {}, recovered() {} }

test('looks for lapsed leases go with renewals: one that comes early waits until two seconds are over, the next does not', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const store = openStore({ url: redisUrl, namespace: ns })
  own('store', () => store.close())
  await store.command('ping', []) // connected: the first look is to reach Redis at once
  let skipped = 0
  const caretaker = createCaretaker(store, {
    maxRecoveries: 3,
    log: silentLogger,
    observer,
    hooks: await loadParentHooks(undefined, silentLogger),
    clock: { now: systemClock.now, monotonic: () => systemClock.monotonic() + skipped },
  })
  const lastLook = async (): Promise<number> => Number.parseInt((await redis.get(`${ns}:ext:look`)) ?? '', 10)
  const skip = async (ms: number): Promise<number> => {
    skipped += ms
    const then = (await lastLook()) - ms
    await redis.set(`${ns}:ext:look`, `${then} 0`)
    return then
  }
  await caretaker.reap({})

  const first = await skip(1000)
  const early = caretaker.reap({})
  await caretaker.reap({})
  expect(await lastLook()).toBe(first)
  await early
  expect(await lastLook()).toBeGreaterThanOrEqual(first + 2000)

  const over = new AbortController()
  const second = await skip(1000)
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
  const store = openStore({ url: redisUrl, namespace: ns })
  own('store', () => store.close())
  const said: string[] = []
  const log: Logger = { ...silentLogger, error: (_fields, message) => void said.push(message) }
  const hooks = await loadParentHooks(resolve(ROOT, 'test/fixtures/hooks/neverdelayed.ts'), log)
  const caretaker = createCaretaker(store, {
    maxRecoveries: 3,
    log,
    observer,
    hooks,
    clock: systemClock,
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

test('a gone process that cannot be released is named once, and others are released all the same', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const store = openStore({ url: redisUrl, namespace: ns })
  own('store', () => store.close())
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
  const caretaker = createCaretaker(store, {
    maxRecoveries: 3,
    log: { ...silentLogger, warn: (fields, message) => void said.push({ ...fields, message }) },
    observer: { ...observer, recovered: (more: number) => void (jobs += more) },
    hooks: await loadParentHooks(undefined, silentLogger),
    clock: { now: systemClock.now, monotonic: () => systemClock.monotonic() + skipped },
  })
  for (let round = 0; round < 2; round++) {
    const [seconds] = await redis.time()
    await redis.set(`${ns}:ext:look`, `${Number(seconds) * 1000 - 3000} 0`)
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

test('due jobs of one kind are moved though those of the other cannot be', async ({ redis, redisUrl, ns }) => {
  const store = openStore({ url: redisUrl, namespace: ns })
  own('store', () => store.close())
  const said: string[] = []
  const log: Logger = { ...silentLogger, warn: (_fields, message) => void said.push(message) }
  const hooks = await loadParentHooks(undefined, log)
  const caretaker = createCaretaker(store, { maxRecoveries: 3, log, observer, hooks, clock: systemClock })
  await redis.set(`${ns}:ext:retry`, 'text')
  await redis.zadd(`${ns}:delayed_queue_schedule`, 1, 1)
  await redis.rpush(`${ns}:delayed:1`, '{"class":"Job","args":[],"queue":"q"}')
  await caretaker.promote({ retry: true, delayed: true }, {})
  expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
  expect(said).toEqual([expect.stringContaining('due jobs could not be moved')])
})
