import { expect, test } from 'vitest'
import { ResQueue } from '../../src/index.ts'
import { defineJob } from '../../src/worker/job.ts'

const bad: [string, (enqueue: (...args: never[]) => Promise<unknown>) => Promise<unknown>][] = [
  ['no queue', (e) => e('' as never, 'A' as never)],
  ['no class', (e) => e('q' as never, '' as never)],
  ['a class that is no name', (e) => e('q' as never, 7 as never)],
  ['a definition without a name', (e) => e('q' as never, { jobName: '' } as never)],
  ['args that are a string', (e) => e('q' as never, 'A' as never, 'text' as never)],
  ['args that are a number', (e) => e('q' as never, 'A' as never, 7 as never)],
  ['args that are a function', (e) => e('q' as never, 'A' as never, (() => 1) as never)],
  ['args with a BigInt', (e) => e('q' as never, 'A' as never, { n: 1n } as never)],
  ['positional args that are no list', (e) => e({ queue: 'q', class: 'A', args: {} } as never)],
  ['a lone surrogate in the queue', (e) => e('q\ud800' as never, 'A' as never)],
  ['an empty id', (e) => e('q' as never, 'A' as never, {} as never, { id: '' } as never)],
  ['a prefix that is no string', (e) => e('q' as never, 'A' as never, {} as never, { prefix: 7 } as never)],
  ['retry 0', (e) => e('q' as never, 'A' as never, {} as never, { retry: 0 } as never)],
  ['timeout 0', (e) => e('q' as never, 'A' as never, {} as never, { timeout: 0 } as never)],
  ['milliseconds for at', (e) => e('q' as never, 'A' as never, {} as never, { at: Date.now() } as never)],
  ['a fraction for at', (e) => e('q' as never, 'A' as never, {} as never, { at: 1.5 } as never)],
  ['a text for at', (e) => e('q' as never, 'A' as never, {} as never, { at: 'tomorrow' } as never)],
  ['an invalid date', (e) => e('q' as never, 'A' as never, {} as never, { at: new Date(NaN) } as never)],
  ['a negative in', (e) => e('q' as never, 'A' as never, {} as never, { in: -1 } as never)],
  ['an unknown option', (e) => e('q' as never, 'A' as never, {} as never, { delay: 60 } as never)],
  ['an unknown option beside positional args', (e) => e({ queue: 'q', class: 'A', args: [], delay: 60 } as never)],
  ['both at and in', (e) => e('q' as never, 'A' as never, {} as never, { at: 1, in: 1 } as never)],
]
test.each(bad)('%s is refused and nothing is written', async (_, call) => {
  await using client = new ResQueue({ redis: 'redis://127.0.0.1:1' })
  await expect(call(client.enqueue.bind(client) as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('a delayed job whose time is missing is refused: nobody means now by it', async () => {
  await using client = new ResQueue({ redis: 'redis://127.0.0.1:1' })
  const [noTime, noSeconds] = [undefined as never, undefined as never]
  const refused = { code: 'INVALID_ARGUMENT' }
  await expect(client.enqueueAt(noTime, 'q', 'A')).rejects.toMatchObject(refused)
  await expect(client.enqueueIn(noSeconds, 'q', 'A')).rejects.toMatchObject(refused)
})

test('what is no job among many is refused with its place', async () => {
  await using client = new ResQueue({ redis: 'redis://127.0.0.1:1' })
  const items = [{ queue: 'q', class: 'A' }, undefined as never]
  await expect(client.enqueueBulk(items)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', data: { index: 1 } })
})

test.each([
  [{ url: 'redis://h' }, 'The option "url" is unknown; there are redis, '],
  [{ redis: 'redis://h', username: 'u', password: 'p' }, 'The option "username" is unknown'],
  ['redis://h', 'The options of a client are an object'],
  [null, 'The options of a client are an object'],
  [{ redis: new URL('redis://h') }, 'The option "redis" must be a text'],
  [{ redis: 'redis://h', namespace: null }, 'The option "namespace" must be a text'],
  [{ redis: 'redis://h', db: Number.NaN }, '"NaN" is not a database number'],
  [{ redis: 'redis://h', replication: { replicas: Number.NaN } }, 'The option "replication" must say how many'],
])('options of a client that would not be heeded are refused: %j', (options, message) => {
  expect(() => new ResQueue(options as never)).toThrow(
    expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(message) as string }),
  )
})

test('replication is refused on a Redis Cluster, whose WAIT would prove nothing', () => {
  const options = { namespace: '{x}', replication: { replicas: 1 } }
  for (const redis of ['redis-cluster://h', 'rediss-cluster://h1,h2'])
    expect(() => new ResQueue({ redis, ...options })).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining('WAIT') as string }),
    )
})

test('a definition that leaves its name to the worker is refused with what to do', async () => {
  await using client = new ResQueue({ redis: 'redis://127.0.0.1:1' })
  await expect(
    client.enqueue(
      'q',
      defineJob(() => undefined),
    ),
  ).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining("Write defineJob('Name', …), or enqueue by that name") as string,
  })
  await expect(client.enqueue('q', '')).rejects.toMatchObject({ message: 'Jobs must be given a class.' })
})

test('an empty URL is refused: nobody means the local Redis by it', () => {
  for (const redis of ['', ' ']) expect(() => new ResQueue({ redis })).toThrow('The option "redis" is empty')
})

test('a URL that cannot be understood is refused at once, without its password', () => {
  expect(() => new ResQueue({ redis: 'http://user:secret@host' })).toThrow(
    expect.objectContaining({ code: 'USAGE', message: expect.not.stringContaining('secret') as string }),
  )
})
