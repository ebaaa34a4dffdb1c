import { expect, expectTypeOf } from 'vitest'
import type { ParamsOf, ResQueue } from '../../src/index.ts'
import { defineJob, type JobContext } from '../../src/worker/job.ts'
import { test } from '../support/fixtures.ts'
import { openQueue } from './client.ts'

// What stands here is checked by the compiler (`make check`): each line that must be refused says so, and fails where
// it is not.

const nothing = defineJob('Nothing', () => 1)
const contextOnly = defineJob('ContextOnly', (job: JobContext) => job.id)
const annotated = defineJob('Annotated', async (order: { id: string }) => order.id)
const annotatedBoth = defineJob('AnnotatedBoth', async (order: { id: string }, job: JobContext) => order.id + job.id)
const given = defineJob<[{ to: string }]>('Given', async ({ to }, job) => to + job.id)
const givenWithoutContext = defineJob<[{ to: string }]>('GivenWithoutContext', async ({ to }) => to)
const bare = defineJob('Bare', (data, job) => [data.anything, job.id])
const mixed = defineJob('Mixed', (a: number, b: string, job) => [a, b, job.id])
const optional = defineJob('Optional', (order?: { id: string }) => order?.id)
const text = defineJob('Text', (name: string) => name)
const rest = defineJob('Rest', (...all: number[]) => all.length)
const named = defineJob(async (order: { id: string }) => order.id)
const namedWithContext = defineJob<[{ to: string }]>(async ({ to }, job) => to + job.id, { retry: 3 })

class Reads {
  args: unknown
  perform(): unknown {
    return this.args
  }
}
class Says {
  declare readonly args: { readonly file: string }
  perform(): string {
    return this.args.file
  }
}
class Takes {
  static readonly jobName: string = 'App\\Takes'
  perform(order: { id: string }, job?: JobContext): string {
    return order.id + job?.id
  }
}

test('a definition and a class say what their job takes', () => {
  expectTypeOf<ParamsOf<'Anything'>>().toEqualTypeOf<readonly unknown[]>()
  expectTypeOf<ParamsOf<typeof nothing>>().toEqualTypeOf<readonly unknown[]>()
  expectTypeOf<ParamsOf<typeof contextOnly>>().toEqualTypeOf<readonly unknown[]>()
  expectTypeOf<ParamsOf<typeof annotated>>().toEqualTypeOf<readonly [order: { id: string }]>()
  expectTypeOf<ParamsOf<typeof annotatedBoth>>().toEqualTypeOf<readonly [order: { id: string }]>()
  expectTypeOf<ParamsOf<typeof given>>().toEqualTypeOf<readonly [{ to: string }]>()
  expectTypeOf<ParamsOf<typeof givenWithoutContext>>().toEqualTypeOf<readonly [{ to: string }]>()
  expectTypeOf<ParamsOf<typeof mixed>>().toEqualTypeOf<readonly [a: number, b: string]>()
  expectTypeOf<ParamsOf<typeof optional>>().toEqualTypeOf<readonly [order?: { id: string } | undefined]>()
  expectTypeOf<ParamsOf<typeof text>>().toEqualTypeOf<readonly [name: string]>()
  expectTypeOf<ParamsOf<typeof rest>>().toEqualTypeOf<readonly number[]>()
  expectTypeOf<ParamsOf<typeof named>>().toEqualTypeOf<readonly [order: { id: string }]>()
  expectTypeOf<ParamsOf<typeof namedWithContext>>().toEqualTypeOf<readonly [{ to: string }]>()
  expectTypeOf<ParamsOf<typeof Reads>>().toEqualTypeOf<readonly unknown[]>()
  expectTypeOf<ParamsOf<typeof Says>>().toEqualTypeOf<readonly [{ readonly file: string }]>()
  expectTypeOf<ParamsOf<typeof Takes>>().toEqualTypeOf<readonly [order: { id: string }]>()
  expect([nothing, annotated, bare].map((job) => job.jobName)).toEqual(['Nothing', 'Annotated', 'Bare'])
})

test('enqueue takes what the job takes', async ({ redis, redisUrl, ns }) => {
  const client = openQueue(redisUrl, ns)
  await client.enqueue('q', 'Anything')
  await client.enqueue('q', 'Anything', { a: 1 }, true)
  await client.enqueue('q', nothing)
  await client.enqueue('q', nothing, { a: 1 }, { track: true })
  await client.enqueue('q', bare, { a: 1 })
  await client.enqueue('q', annotated, { id: 'a' })
  await client.enqueue('q', annotatedBoth, { id: 'a' }, { timeout: 5 })
  await client.enqueue('q', optional)
  await client.enqueue('q', Reads)
  await client.enqueue('q', Reads, { a: 1 })
  await client.enqueue('q', Says, { file: 'a' })
  await client.enqueue('q', Takes, { id: 'a' })
  await client.enqueue({ queue: 'q', class: mixed, args: [1, 'two'] })
  await client.enqueue({ queue: 'q', class: 'Anything' })
  await client.enqueueBulk([
    { queue: 'q', class: given, args: [{ to: 'a' }] },
    { queue: 'q', class: mixed, args: [1, 'two'], track: true },
    { queue: 'q', class: 'Anything', args: [1] },
    { queue: 'q', class: Reads },
  ])
  const jobs = (await redis.lrange(`${ns}:queue:q`, 0, -1)).map(
    (raw) => JSON.parse(raw) as { class: string; args: unknown[] },
  )
  expect(jobs.map((job) => [job.class, ...job.args])).toEqual([
    ['Anything'],
    ['Anything', { a: 1 }],
    ['Nothing'],
    ['Nothing', { a: 1 }],
    ['Bare', { a: 1 }],
    ['Annotated', { id: 'a' }],
    ['AnnotatedBoth', { id: 'a' }],
    ['Optional'],
    ['Reads'],
    ['Reads', { a: 1 }],
    ['Says', { file: 'a' }],
    ['App\\Takes', { id: 'a' }],
    ['Mixed', 1, 'two'],
    ['Anything'],
    ['Given', { to: 'a' }],
    ['Mixed', 1, 'two'],
    ['Anything', 1],
    ['Reads'],
  ])
  const places = ['b', 'c']
  await client.enqueueBulk(places.map((to) => ({ queue: 'r', class: given, args: [{ to }] })))
  expect(await client.queues.size('r')).toBe(2)
  await client.enqueueAt(5, 'q', annotated, { id: 'a' })
  await client.enqueueIn(5, 'q', Takes, { id: 'a' }, { track: true })
  expect(await client.delayed.scheduleSize()).toBe(2)
})

/** Never called: each line must be refused by the compiler. */
export function refused(client: ResQueue): unknown[] {
  return [
    // @ts-expect-error -- an argument of another shape
    client.enqueue('q', annotated, { too: 'a' }),
    // @ts-expect-error -- no argument where one is needed
    client.enqueue('q', annotated),
    // @ts-expect-error -- a class with a jobName says what it takes, too
    client.enqueue('q', Takes, { id: 5 }),
    // @ts-expect-error -- no argument for a class that needs one
    client.enqueue('q', Takes),
    // @ts-expect-error -- a class whose args have a type
    client.enqueue('q', Says, { fiel: 'a' }),
    // @ts-expect-error -- and no argument for it
    client.enqueue('q', Says),
    // @ts-expect-error -- a job of two arguments cannot be given one
    client.enqueue('q', mixed, 1),
    // @ts-expect-error -- text is no argument of this form
    client.enqueue('q', text, 'a'),
    // @ts-expect-error -- later enqueues are checked alike
    client.enqueueAt(5, 'q', annotated),
    // @ts-expect-error -- and so are those with a number of seconds
    client.enqueueIn(5, 'q', annotated, { too: 'a' }),
    // @ts-expect-error -- the list of a request
    client.enqueue({ queue: 'q', class: mixed, args: ['one', 'two'] }),
    // @ts-expect-error -- a list that is needed
    client.enqueue({ queue: 'q', class: mixed }),
    // @ts-expect-error -- what a callback builds
    client.enqueueBulk(['a'].map((to) => ({ queue: 'q', class: given, args: [{ too: to }] }))),
    // @ts-expect-error -- every item of a bulk
    client.enqueueBulk([
      { queue: 'q', class: given, args: [{ to: 'a' }] },
      { queue: 'q', class: given, args: [{ too: 'a' }] },
    ]),
  ]
}
