import { expect } from 'vitest'
import { confirmDrained, markDraining, podKey, unmarkDraining } from '../../src/queue/draining.ts'
import { newNonce, register, type Registration } from '../../src/queue/registry.ts'
import { turn, type TurnReply } from '../../src/queue/turn.ts'
import { openStore, type Store } from '../../src/redis/store.ts'
import { test } from '../support/fixtures.ts'
import { job } from '../support/ledger.ts'
import { startProxy } from '../support/proxy.ts'
import { own } from '../support/scope.ts'
import { everyScriptTwice } from './client.ts'

const POD = podKey('default', 'u-1')

function open(url: string, namespace: string): Store {
  const store = openStore({ url, namespace })
  own('store', () => store.close())
  return store
}

async function worker(store: Store, uid = 'u-1'): Promise<Registration> {
  const nonce = newNonce()
  const identity = {
    instance: '',
    host: 'pod',
    pid: 7,
    pid_namespace: '',
    boot_id: '',
    pod: 'pod',
    container: 'worker',
  }
  const one: Registration = {
    ...identity,
    nonce,
    name: `pod.${nonce}`,
    tail: ':7:q',
    slots: 2,
    pod_namespace: 'default',
    pod_uid: uid,
    started: 1,
    version: '0',
    isolation: 'fork',
    lease_ms: 8000,
  }
  await register(store, one)
  return one
}

function ask(store: Store, one: Registration, base: number, more: object = {}): Promise<TurnReply> {
  const drainMark = podKey(one.pod_namespace, one.pod_uid)
  const request = {
    ends: [],
    next: 0,
    idle: [0],
    base,
    queues: ['q'],
    wokenBy: '',
    ring: true,
    drainMark,
    maxRecoveries: 3,
    ...more,
  }
  return turn(store, one, request, { deadlineMs: 5000 })
}

test('after a mark no claim is granted, what is held goes on, and unmarking lets work in again', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const store = open(redisUrl, ns)
  const one = await worker(store)
  await redis.rpush(`${ns}:queue:q`, job('q', 'A').raw, job('q', 'B').raw)
  const first = await ask(store, one, 1)
  expect(first).toMatchObject({ kind: 'ok', held: [{ slot: 0 }] })
  expect(await markDraining(store, 'me', [POD])).toEqual(new Set([POD]))
  expect(await ask(store, one, 2, { idle: [1] })).toMatchObject({ kind: 'ok', state: 'draining', held: [] })
  const drained = { pod: POD, processes: [one.nonce], foreign: [] }
  expect(await confirmDrained(store, 'me', [drained])).toEqual(new Set())
  const [held] = first.kind === 'ok' ? first.held : []
  const end = { ...(held as NonNullable<typeof held>), status: '', forget: false, ending: { verb: 'done', result: '' } }
  await ask(store, one, 3, { ends: [end], next: 1, idle: [] })
  expect(await confirmDrained(store, 'me', [drained])).toEqual(new Set([POD]))
  expect(await redis.llen(`${ns}:queue:q`)).toBe(1)
  await redis.del(`${ns}:ext:token:q`)
  expect(await unmarkDraining(store, 'me', [POD], ['q', 'none'])).toBe(1)
  expect(await redis.llen(`${ns}:ext:token:q`)).toBe(1)
  expect(await redis.exists(`${ns}:ext:token:none`)).toBe(0)
  expect(await ask(store, one, 4)).toMatchObject({ state: '', held: [{ slot: 0 }] })
})

test('a mark belongs to who set it', async ({ redis, redisUrl, ns }) => {
  const store = open(redisUrl, ns)
  const other = podKey('default', 'u-2')
  expect(await markDraining(store, 'old', [POD])).toEqual(new Set([POD]))
  expect(await markDraining(store, 'new', [POD, other])).toEqual(new Set([other]))
  expect(await confirmDrained(store, 'new', [{ pod: POD, processes: [], foreign: [] }])).toEqual(new Set())
  expect(await unmarkDraining(store, 'new', [POD], [])).toBe(0)
  expect(await redis.get(`${ns}:ext:draining:${POD}`)).toBe('old')
  // The old one's term is over.
  expect(await unmarkDraining(store, 'new', [POD, other], [], { others: true })).toBe(1)
  expect(await redis.exists(`${ns}:ext:draining:${POD}`)).toBe(0)
  expect(await redis.get(`${ns}:ext:draining:${other}`)).toBe('new')
})

test('a mark lapses by itself, and confirming makes it last', async ({ redis, redisUrl, ns }) => {
  const store = open(redisUrl, ns)
  await markDraining(store, 'me', [POD])
  const key = `${ns}:ext:draining:${POD}`
  expect(await redis.pttl(key)).toBeGreaterThan(50_000)
  await redis.pexpire(key, 5000)
  await markDraining(store, 'me', [POD])
  expect(await redis.pttl(key)).toBeGreaterThan(50_000)
  await redis.pexpire(key, 5000)
  expect(await confirmDrained(store, 'me', [{ pod: POD, processes: ['gone'], foreign: [] }])).toEqual(new Set([POD]))
  expect(await redis.pttl(key)).toBeGreaterThan(50_000)
  await redis.del(key)
  expect(await confirmDrained(store, 'me', [{ pod: POD, processes: [], foreign: [] }])).toEqual(new Set())
})

test('a foreign worker that runs a job is not idle, nor is a paused process of ours that does', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const store = open(redisUrl, ns)
  await markDraining(store, 'me', [POD])
  const id = 'pod:1:q'
  const ask1 = () => confirmDrained(store, 'me', [{ pod: POD, processes: [], foreign: [id] }])
  await redis.set(`${ns}:worker:${id}`, '{"queue":"q","run_at":"…","payload":{"class":"A"}}')
  expect(await ask1()).toEqual(new Set())
  await redis.set(`${ns}:worker:${id}`, '{}')
  expect(await ask1()).toEqual(new Set([POD]))
  await redis.del(`${ns}:worker:${id}`)
  expect(await ask1()).toEqual(new Set([POD]))

  const one = await worker(store)
  await redis.hset(`${ns}:ext:inflight:${one.nonce}`, 'paused', '1')
  const ask2 = () => confirmDrained(store, 'me', [{ pod: POD, processes: [one.nonce], foreign: [] }])
  expect(await ask2()).toEqual(new Set([POD]))
  await redis.hset(`${ns}:ext:inflight:${one.nonce}`, '0', '1 1 1 q{}')
  expect(await ask2()).toEqual(new Set())

  // Each of several is judged by what is its own.
  const [free, busy] = [podKey('default', 'u-2'), podKey('default', 'u-3')]
  await markDraining(store, 'me', [free, busy])
  await redis.set(`${ns}:worker:busy:1:q`, '{"payload":{}}')
  const idle = [(await worker(store)).nonce, (await worker(store)).nonce]
  expect(
    await confirmDrained(store, 'me', [
      { pod: free, processes: idle, foreign: [id] },
      { pod: POD, processes: [...idle, one.nonce], foreign: [id] },
      { pod: busy, processes: idle, foreign: [id, 'busy:1:q'] },
    ]),
  ).toEqual(new Set([free]))
})

test('every script may be sent twice', async ({ redis, redisUrl, ns }) => {
  const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
  everyScriptTwice(proxy)
  const store = open(proxy.url, ns)
  const pods = Array.from({ length: 50 }, (_, i) => podKey('default', `u-${i}`))
  expect((await markDraining(store, 'me', pods)).size).toBe(50)
  expect(
    (
      await confirmDrained(
        store,
        'me',
        pods.map((pod) => ({ pod, processes: [], foreign: [] })),
      )
    ).size,
  ).toBe(50)
  await unmarkDraining(store, 'me', pods, [])
  expect(await redis.exists(...pods.map((pod) => `${ns}:ext:draining:${pod}`))).toBe(0)
})
