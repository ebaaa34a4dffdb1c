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
