import { expect } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { test } from '../support/fixtures.ts'
import { latch, waitFor } from '../support/wait.ts'
import { ledgerHere, startHere, waiting, type Way } from '../support/workerhere.ts'

const note = (id: string, ms = 0): string => `{"class":"Note","args":[${ms}],"id":"${id}"}`

test('a job comes with the token that announces it, without a further call', async ({ redis, ns, redisUrl }) => {
  const ledger = ledgerHere()
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const turns: Way[] = []
  let enqueued = false
  const exchange = async (script: string, call: () => Promise<never>, way: Way): Promise<never> => {
    const reply = await call()
    if (enqueued && script === 'turn') turns.push(way)
    return reply
  }
  startHere(redisUrl, ns, { isolation: 'inline', concurrency: 4, exchange })
  await waiting(redis)
  enqueued = true
  const id = String(await client.enqueue({ queue: 'q', class: 'Note', args: [0] }))
  await ledger.sees('end', id)
  expect(turns[0]).toBe('token')
  expect(ledger.of('start', id)).toHaveLength(1)
})

test('an answer that comes late, after its job was found and has ended, starts nothing twice', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const ledger = ledgerHere()
  const released = latch()
  const answered = latch()
  let held = 0
  const exchange = async (script: string, call: () => Promise<never>, way: Way): Promise<never> => {
    const reply = await call()
    if (script === 'turn' && way === 'token' && held++ === 0) {
      await released.promise
      answered.open()
    }
    return reply
  }
  startHere(redisUrl, ns, { isolation: 'inline', exchange })
  await waiting(redis)
  await redis.rpush(`${ns}:queue:q`, note('a'))
  await redis.rpush(`${ns}:ext:token:q`, '1')
  // The renewal sees a record that the worker does not know of.
  await ledger.sees('end', 'a')
  await redis.rpush(`${ns}:queue:q`, note('b'))
  await ledger.sees('end', 'b')
  released.open()
  await answered.promise
  await redis.rpush(`${ns}:queue:q`, note('c'))
  await ledger.sees('end', 'c')
  expect(ledger.of('start').map(({ id }) => id)).toEqual(['a', 'b', 'c'])
  await waitFor(async () => (await redis.get(`${ns}:stat:processed`)) === '3')
})

test('a job that the turn behind the token was the first to tell of is not started again by the answer that is its own', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const ledger = ledgerHere()
  const answer = latch()
  let held = 0
  let waits = 0
  const exchange = async (script: string, call: () => Promise<never>, way: Way): Promise<never> => {
    if (way === 'token') waits++
    const reply = await call()
    // The turn that ends `a` and takes `b` for its slot.
    if (script === 'turn' && way === 'call' && JSON.stringify(reply).includes(JSON.stringify(note('b')).slice(1, -1))) {
      held++
      await answer.promise
    }
    return reply
  }
  startHere(redisUrl, ns, { isolation: 'inline', intervalMs: 200, exchange })
  await waiting(redis)
  // A wait that has just begun, and that no token ends: its turn comes three seconds later, when `a` has long ended.
  const before = waits
  await waitFor(() => waits > before)
  await redis.rpush(`${ns}:queue:q`, `{"class":"Gate","args":["${ledger.gate}"],"id":"a"}`)
  await ledger.sees('start', 'a')
  await redis.rpush(`${ns}:queue:q`, note('b'))
  ledger.open()
  await ledger.sees('end', 'b')
  expect(held).toBe(1)
  answer.open()
  await redis.rpush(`${ns}:queue:q`, note('c'))
  await ledger.sees('end', 'c')
  expect(ledger.of('start').map(({ id }) => id)).toEqual(['a', 'b', 'c'])
})

test('what a token brings to a worker that was paused meanwhile goes back in front, uncounted', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const ledger = ledgerHere()
  const { worker } = startHere(redisUrl, ns, { isolation: 'inline' })
  await waiting(redis)
  worker.signal('SIGUSR2')
  await redis.rpush(`${ns}:queue:q`, note('a'), note('b'))
  await redis.rpush(`${ns}:ext:token:q`, '1')
  const [nonce = ''] = await redis.hkeys(`${ns}:ext:processes`)
  await waitFor(
    async () =>
      Number(await redis.hget(`${ns}:ext:inflight:${nonce}`, 'k')) > 1000 &&
      !(await redis.hexists(`${ns}:ext:inflight:${nonce}`, '0')),
  )
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([note('a'), note('b')])
  expect(await redis.keys(`${ns}:ext:job:*`)).toEqual([])
  expect(ledger.of('start')).toEqual([])
  worker.signal('SIGCONT')
  await ledger.sees('end', 'b')
  expect(ledger.of('start').map(({ id }) => id)).toEqual(['a', 'b'])
})

test('a worker that was told to leave takes nothing more by its token, while its last job runs', async ({
  redis,
  ns,
  redisUrl,
}) => {
  const ledger = ledgerHere()
  const { worker } = startHere(redisUrl, ns, { isolation: 'inline', concurrency: 2 })
  await redis.rpush(`${ns}:queue:q`, `{"class":"Gate","args":["${ledger.gate}"],"id":"last"}`)
  await ledger.sees('start', 'last')
  await waiting(redis)
  worker.signal('SIGTERM')
  await redis.rpush(`${ns}:queue:q`, note('a'))
  await redis.rpush(`${ns}:ext:token:q`, '1')
  await waitFor(async () => (await redis.llen(`${ns}:ext:token:q`)) === 1 && (await redis.llen(`${ns}:queue:q`)) === 1)
  ledger.open()
  expect(await worker.done).toEqual({ exitCode: 0 })
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual([note('a')])
  expect(ledger.of('start').map(({ id }) => id)).toEqual(['last'])
})

test('at most --max-jobs jobs are taken, whatever tokens come', async ({ redis, ns, redisUrl }) => {
  const ledger = ledgerHere()
  await using client = new ResQueue({ redis: redisUrl, namespace: ns })
  const { worker } = startHere(redisUrl, ns, { isolation: 'inline', concurrency: 4, maxJobs: 3 })
  await waiting(redis)
  await Promise.all(Array.from({ length: 8 }, () => client.enqueue({ queue: 'q', class: 'Note', args: [5] })))
  expect(await worker.done).toEqual({ exitCode: 0 })
  expect(ledger.of('start')).toHaveLength(3)
  expect(await redis.llen(`${ns}:queue:q`)).toBe(5)
})
