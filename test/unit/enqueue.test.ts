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
  ['both at and in', (e) => e('q' as never, 'A' as never, {} as never, { at: 1, in: 1 } as never)],
]
test.each(bad)('%s is refused and nothing is written', async (_, call) => {
  await using client = new ResQueue({ redis: 'redis://127.0.0.1:1' })
  await expect(call(client.enqueue.bind(client) as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
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
