import { describe, expect } from 'vitest'
import { foreignIds, readDemand, readForeign, readLoads, readRegistrations } from '../../src/queue/demand.ts'
import { newNonce, register, type Registration } from '../../src/queue/registry.ts'
import { release } from '../../src/queue/recovery.ts'
import { turn } from '../../src/queue/turn.ts'
import { openStore, type Store } from '../../src/redis/store.ts'
import { test } from '../support/fixtures.ts'
import { own } from '../support/scope.ts'
import { job } from '../support/ledger.ts'
import { snapshot } from '../support/redis.ts'
import { waitFor } from '../support/wait.ts'

function open(url: string, namespace: string): Store {
  const store = openStore({ url, namespace })
  own('store', () => store.close())
  return store
}

function registration(more: Partial<Registration> = {}): Registration {
  const nonce = newNonce()
  return {
    nonce,
    name: `pod.${nonce}`,
    tail: ':7:q',
    slots: 4,
    instance: '',
    host: 'pod',
    pid: 7,
    pid_namespace: '',
    boot_id: '',
    pod: 'pod',
    pod_namespace: 'default',
    pod_uid: 'u-1',
    container: 'worker',
    started: 1,
    version: '0',
    isolation: 'fork',
    lease_ms: 8000,
    ...more,
  }
}

const take = (store: Store, one: Registration, queues: readonly string[], base: number, idle: readonly number[]) =>
  turn(
    store,
    one,
    { ends: [], next: 0, idle, base, queues, wokenBy: '', ring: true, drainMark: '', maxRecoveries: 3 },
    { deadlineMs: 5000 },
  )

describe('what a scaler reads', () => {
  test('waiting jobs, flow, heads and pauses of the queues that it names', async ({ redis, redisUrl, ns }) => {
    const store = open(redisUrl, ns)
    const late = '{"class":"A","args":[],"id":"1","prefix":"","queue_time":1700000000.5}'
    await redis.rpush(`${ns}:queue:a`, late, '{"class":"A","args":[]}')
    await redis.rpush(`${ns}:queue:b`, '{"class":"B","args":[]}')
    await redis.set(`${ns}:queue:odd`, 'no list')
    await redis.set(`${ns}:ext:flow:c`, '9 7 1 1234')
    await redis.set(`${ns}:ext:paused`, '["b"]')
    await redis.sadd(`${ns}:queues`, 'a', 'b', 'c')
    const before = await snapshot(redis, ns)
    const reading = await readDemand(store, ['a', 'b', 'c', 'odd', 'none'], 60_000)
    expect(reading.knownQueues).toBe(3)
    expect(reading.pausedAll).toBe(false)
    expect(reading.queues.map(({ queue, waiting, paused }) => [queue, waiting, paused])).toEqual([
      ['a', 2, false],
      ['b', 1, true],
      ['c', 0, false],
      ['odd', 0, false],
      ['none', 0, false],
    ])
    expect(reading.queues[0]?.head).toEqual({ bytes: late.length, end: late })
    expect(reading.queues[2]?.flow).toEqual({ started: 9, ended: 7, returned: 1, busyMs: 1234 })
    expect(reading.queues[4]).toMatchObject({ flow: { started: 0 }, head: undefined })
    expect(await snapshot(redis, ns)).toEqual(before)
    await redis.set(`${ns}:pause-all-workers`, 'true')
    expect((await readDemand(store, ['a'], 0)).queues[0]?.paused).toBe(true)
  })

  test('a head of many megabytes is not read', async ({ redis, redisUrl, ns }) => {
    const store = open(redisUrl, ns)
    await redis.rpush(`${ns}:queue:a`, `{"class":"A","args":["${'x'.repeat(3_000_000)}"]}`)
    expect((await readDemand(store, ['a'], 0)).queues[0]).toMatchObject({ waiting: 1, head: undefined })
  })

  test('jobs that come due, delayed ones of any producer and retries, by their queues', async ({
    redis,
    redisUrl,
    ns,
  }) => {
    const store = open(redisUrl, ns)
    const now = Math.floor((await readDemand(store, [], 0)).now / 1000)
    const delay = async (at: number, ...items: string[]): Promise<void> => {
      await redis.zadd(`${ns}:delayed_queue_schedule`, at, String(at))
      await redis.rpush(`${ns}:delayed:${at}`, ...items)
    }
    await delay(now + 10, '{"class":"A","args":[],"queue":"a"}', '{"class":"A","args":[{"queue":"no"}],"queue":"b"}')
    await delay(now - 5, '{"class":"A","args":[],"id":"1","prefix":"","queue_time":1,"queue":"a"}')
    await delay(now + 5000, '{"class":"A","args":[],"queue":"a"}')
    await delay(now + 20, ...Array.from({ length: 100 }, () => '{"class":"A","args":[],"queue":"many"}'))
    await redis.zadd(`${ns}:ext:retry`, (now + 3) * 1000, `abcdef012345.1 1 4 5 c d eError{"class":"C","args":[]}`)
    const { due } = await readDemand(store, [], 60_000)
    expect(due.toSorted((x, y) => x.dueMs - y.dueMs)).toEqual(
      [
        { queue: 'a', dueMs: (now - 5) * 1000, jobs: 1 },
        { queue: 'c d ', dueMs: (now + 3) * 1000, jobs: 1 },
        { queue: 'a', dueMs: (now + 10) * 1000, jobs: 1 },
        { queue: 'b', dueMs: (now + 10) * 1000, jobs: 1 },
        { queue: 'many', dueMs: (now + 20) * 1000, jobs: 100 },
      ].toSorted((x, y) => x.dueMs - y.dueMs),
    )
  })

  test('what processes hold, since when, and how long their leases last', async ({ redis, redisUrl, ns }) => {
    const store = open(redisUrl, ns)
    const [busy, idle] = [registration(), registration({ pod_uid: 'u-2' })]
    await register(store, busy)
    await register(store, idle)
    await redis.rpush(`${ns}:queue:q`, job('q', 'A').raw, job('q', 'A').raw)
    await redis.hset(`${ns}:ext:inflight:${idle.nonce}`, 'paused', '1')
    await take(store, busy, ['q'], 1, [0, 1])
    const loads = await readLoads(store)
    expect([...loads.keys()].sort()).toEqual([busy.nonce, idle.nonce].sort())
    expect(loads.get(idle.nonce)).toMatchObject({ held: 0, jobs: [] })
    const { now } = await readDemand(store, [], 0)
    const load = loads.get(busy.nonce)
    expect(load?.held).toBe(2)
    expect(load?.jobs.map(({ queue }) => queue)).toEqual(['q', 'q'])
    expect(load?.jobs.every(({ sinceMs }) => sinceMs > now - 10_000 && sinceMs <= now)).toBe(true)
    expect(load?.leaseLeftMs).toBeGreaterThan(5000)
    const known = await readRegistrations(store, [busy.nonce, 'nobody', idle.nonce])
    expect(known.map(({ nonce }) => nonce)).toEqual([busy.nonce, idle.nonce])
  })

  test('hundreds of processes come in pages, each once', async ({ redisUrl, ns }) => {
    const store = open(redisUrl, ns)
    await store.command('ping', [])
    const all = Array.from({ length: 1200 }, () => registration({ slots: 1 }))
    await Promise.all(all.map((one) => register(store, one)))
    expect([...(await readLoads(store)).keys()].sort()).toEqual(all.map(({ nonce }) => nonce).sort())
  })

  test('workers of other programs, and what they run', async ({ redis, redisUrl, ns }) => {
    const store = open(redisUrl, ns)
    const ours = registration()
    await register(store, ours)
    const [ruby, node] = ['web-1:12:mail,*', 'web-2:1:mail']
    await redis.sadd(`${ns}:workers`, ruby, node)
    await redis.set(
      `${ns}:worker:${ruby}`,
      '{"queue":"mail","run_at":"2026-11-22T18:24:39Z","payload":{"class":"A","args":[]}}',
    )
    await redis.set(`${ns}:worker:${node}`, '{}')
    await redis.set(`${ns}:stat:processed:${ruby}`, '41')
    const ids = await foreignIds(store, (id) => id.includes(ours.nonce), 100)
    expect(ids).toEqual([ruby, node])
    expect(await readForeign(store, [ruby, node])).toEqual([
      { id: ruby, queue: 'mail', processed: 41, runAt: '2026-11-22T18:24:39Z' },
      { id: node, queue: undefined, processed: undefined, runAt: '' },
    ])
  })
})

describe('a pod that is gone', () => {
  test('its jobs go back once its lease has missed a renewal, and not before', async ({ redis, redisUrl, ns }) => {
    const store = open(redisUrl, ns)
    const one = registration({ lease_ms: 8000 })
    const sent = job('q', 'A')
    await register(store, one)
    await redis.rpush(`${ns}:queue:q`, sent.raw)
    await take(store, one, ['q'], 1, [0])
    expect(await release(store, one.nonce, { kind: 'silent', leftMs: 1000 }, 3)).toEqual({ kind: 'alive' })
    const result = await waitFor(async () => {
      const reply = await release(store, one.nonce, { kind: 'silent', leftMs: 7000 }, 3)
      return reply.kind === 'released' && reply
    })
    expect(result).toMatchObject({ back: 1 })
    expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([sent.raw])
    expect(await release(store, one.nonce, { kind: 'silent', leftMs: 7000 }, 3)).toEqual({ kind: 'absent' })
  })
})
