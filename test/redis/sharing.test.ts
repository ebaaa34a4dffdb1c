import fc from 'fast-check'
import { expect } from 'vitest'
import { ResQueueError } from '../../src/errors.ts'
import { loadScript } from '../../src/redis/scripts.ts'
import { openStore } from '../../src/redis/store.ts'
import { test } from '../support/fixtures.ts'
import { startProxy, type Fault, type Proxy } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { own } from '../support/scope.ts'
import { waitFor } from '../support/wait.ts'
import { openQueue } from './client.ts'

/** Enough callers for two calls. */
const CALLERS = 64

interface Place {
  readonly proxy: Proxy
  readonly client: ReturnType<typeof openQueue>
  /** The numbers of the jobs that wait, in the order of the queue. */
  waiting(): Promise<number[]>
}

async function place(
  redis: { lrange(key: string, from: number, to: number): Promise<string[]> },
  url: string,
  ns: string,
): Promise<Place> {
  const proxy = await startProxy({ port: Number(new URL(url).port) })
  const client = openQueue(proxy.url, ns)
  await client.enqueue('q', 'A', { n: -1 }) // Redis knows the script
  return {
    proxy,
    client,
    waiting: async () => {
      const raws = await redis.lrange(`${ns}:queue:q`, 1, -1)
      return raws.map((raw) => (JSON.parse(raw) as { args: [{ n: number }] }).args[0].n)
    },
  }
}

/** Callers that all enqueue at once: what became of each, in their order: 'in', or the code of its error. */
async function callAtOnce({ client }: Place): Promise<string[]> {
  const calls = Array.from({ length: CALLERS }, (_, n) => client.enqueue('q', 'A', { n }))
  return (await Promise.allSettled(calls)).map((one) => {
    if (one.status === 'fulfilled') return 'in'
    if (one.reason instanceof ResQueueError) return one.reason.code
    throw one.reason
  })
}

const ALL = Array.from({ length: CALLERS }, (_, n) => n)
const ALL_IN = ALL.map(() => 'in')

test('two calls of many callers are under way at once, no third', async ({ redis, redisUrl, ns }) => {
  const here = await place(redis, redisUrl, ns)
  const before = here.proxy.count('EVALSHA')
  const armed = here.proxy.on('EVALSHA', { kind: 'delay-reply', ms: 300 })
  const calls = callAtOnce(here)
  await armed.performed
  await waitFor(() => here.proxy.count('EVALSHA') - before === 2)
  const more = here.client.enqueueBulk(ALL.map((n) => ({ queue: 'other', class: 'A', args: [n] })))
  expect(await calls).toEqual(ALL_IN)
  expect(await here.waiting()).toEqual(ALL)
  await more
  expect(here.proxy.count('EVALSHA') - before).toBe(3)
})

test('a call behind one that Redis refused for the moment waits for it', async ({ redis, redisUrl, ns }) => {
  const here = await place(redis, redisUrl, ns)
  here.proxy.on('EVALSHA', { kind: 'answer', reply: '-LOADING Redis is loading the dataset in memory\r\n' })
  expect(await callAtOnce(here)).toEqual(ALL_IN)
  expect(await here.waiting()).toEqual(ALL)
})

test('a call behind one that Redis refused for good is not lost with it', async ({ redis, redisUrl, ns }) => {
  const here = await place(redis, redisUrl, ns)
  here.proxy.on('EVALSHA', FULL)
  const half = ALL.map((n) => (n < CALLERS / 2 ? 'REDIS_FULL' : 'in'))
  expect(await callAtOnce(here)).toEqual(half)
  expect(await here.waiting()).toEqual(ALL.slice(CALLERS / 2))
})

test('a script that came before the one that it follows does nothing', async ({ redis, redisUrl, ns }) => {
  const store = openStore({ url: redisUrl, namespace: ns })
  own('store', () => store.close())
  const send = (number: number, follows: number | ''): Promise<unknown> =>
    store.run(loadScript('enqueue'), ['nonce', number, follows, 1, 0, 'q', 1, `payload ${number}`])
  const later = (number: number, follows: number | ''): Promise<unknown> =>
    store.run(loadScript('enqueue_at'), ['nonce', number, follows, 1, 0, 4_000_000_000, `payload ${number}`])
  expect([await send(2, 1), await later(3, 2)]).toEqual(['early', 'early'])
  expect(await redis.keys(`${ns}:*`)).toEqual([])
  expect([await send(1, ''), await send(2, 1), await later(3, 2), await send(2, 1)]).toEqual(['', '', '', ''])
  expect(await redis.lrange(`${ns}:queue:q`, 0, -1)).toEqual(['payload 1', 'payload 2'])
  expect(await redis.llen(`${ns}:delayed:4000000000`)).toBe(1)
})

test('a password that changed behind a lost reply says nothing of the job: it may be there', async () => {
  const server = await startRedis({ args: ['--requirepass', 'old'], password: 'old' })
  const proxy = await startProxy(server)
  const client = openQueue(`redis://:old@127.0.0.1:${proxy.port}`, 'ns')
  await client.enqueue('q', 'A')
  const redis = server.client()
  await redis.ping() // connected: what it sends then goes out at once
  proxy.on('EVALSHA', () => {
    void redis.config('SET', 'requirepass', 'new') // Redis has it before the answer that is lost
    return { kind: 'drop-reply' }
  })
  await expect(client.enqueue('q', 'A', {}, { id: 'mine' })).rejects.toMatchObject({
    code: 'ENQUEUE_UNCERTAIN',
    data: { id: 'mine' },
  })
  expect(await redis.llen('ns:queue:q')).toBe(2)
})

test('a key of another type rejects the enqueue to its queue, and no other that shares the call', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const client = openQueue(redisUrl, ns)
  await client.enqueue('good', 'A')
  await redis.set(`${ns}:queue:bad`, 'x')
  const calls = ['one', 'good', 'bad', 'good'].map((queue) => client.enqueue(queue, 'A'))
  const fates = (await Promise.allSettled(calls)).map((one) => one.status)
  expect(fates).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
  expect(await redis.llen(`${ns}:queue:good`)).toBe(3)
})

const FULL: Fault = { kind: 'answer', reply: "-OOM command not allowed when used memory > 'maxmemory'.\r\n" }
const FAULTS: readonly (Fault | undefined)[] = [
  undefined,
  { kind: 'cut-before' },
  { kind: 'cut-after' },
  { kind: 'drop-reply' },
  { kind: 'twice' },
  { kind: 'answer', reply: '-LOADING Redis is loading the dataset in memory\r\n' },
  FULL,
]

test('whatever becomes of two calls that are under way, each job is there once or refused, and in order', async ({
  redis,
  redisUrl,
  ns,
}) => {
  const here = await place(redis, redisUrl, ns)
  const meets = async (faults: readonly (Fault | undefined)[]): Promise<void> => {
    await redis.ltrim(`${ns}:queue:q`, 0, 0)
    const left = [...faults]
    const sent = new Set<string>()
    here.proxy.decide = ({ name, args }) => {
      if (!name.startsWith('EVAL')) return undefined
      const call = String(args[4]) // its number
      const again = sent.has(call)
      sent.add(call)
      const fault = left.shift()
      // A script looks at its number before a full Redis can refuse it: what ran is not refused when it comes again.
      return fault === FULL && again ? undefined : fault
    }
    const fates = await callAtOnce(here)
    here.proxy.decide = undefined
    const waiting = await here.waiting()
    const expected = ALL.filter((n) => fates[n] === 'in')
    expect(new Set(fates.filter((fate) => fate !== 'in' && fate !== 'REDIS_FULL'))).toEqual(new Set())
    expect(waiting).toEqual(expected)
  }
  await fc.assert(fc.asyncProperty(fc.array(fc.constantFrom(...FAULTS), { minLength: 1, maxLength: 8 }), meets), {
    numRuns: 60,
  })
})
