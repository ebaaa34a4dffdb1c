import { perform } from '../jobs/meter.mjs'

/** The queue that everything goes through. */
export const QUEUE = 'bench'

export interface Payload {
  readonly id: string
  readonly name: string
}

/** The payload of every job. */
export function payload(id: number | string): Payload {
  return { id: String(id), name: 'a name of some length' }
}

export interface WorkOptions {
  /** Jobs in flight. */
  readonly concurrency: number
  /** Jobs run in processes of their own: `fresh` for each, or `reused`. Default: in the worker. */
  readonly sandbox?: 'fresh' | 'reused' | undefined
}

/** One queue system, as the benchmark drives it. */
export interface Peer {
  /** Enqueues jobs 0 … count-1 as fast as the system can. */
  fill(count: number): Promise<unknown>
  /** Enqueues one job. */
  add(id: number | string): Promise<unknown>
  /** Starts a worker; resolves when it takes jobs. Absent: the worker is started in another way. */
  work?(options: WorkOptions, perform: (id: string) => Promise<void> | void): Promise<unknown>
}

interface Call {
  readonly call: number
  readonly verb: 'fill' | 'callers' | 'add' | 'work'
  readonly args: readonly unknown[]
}

/** Lets the benchmark drive a peer over the channel of its process. Times are nanoseconds as text. */
export function serve(peer: Peer): void {
  const verbs: Record<Call['verb'], (...args: never[]) => Promise<unknown>> = {
    fill: (count: number) => timed(() => peer.fill(count)),
    callers: (count: number, callers: number) => timed(() => called(peer, count, callers)),
    add: async (id: string) => {
      const at = process.hrtime.bigint()
      await peer.add(id)
      return String(at)
    },
    work: async (options: WorkOptions) => {
      await peer.work?.(options, perform)
    },
  }
  process.on('message', ({ call, verb, args }: Call) => {
    verbs[verb](...(args as never[])).then(
      (result) => process.send?.({ call, result }),
      (error: unknown) => process.send?.({ call, error: String(error) }),
    )
  })
  process.on('disconnect', () => process.exit())
  process.send?.({ ready: true })
}

/** `callers` loops that each enqueue one job after the other. */
async function called(peer: Peer, count: number, callers: number): Promise<void> {
  let next = 0
  const loop = async (): Promise<void> => {
    while (next < count) await peer.add(next++)
  }
  await Promise.all(Array.from({ length: callers }, loop))
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - began) / 1e9
}

/** Makes a thing when it is needed first: a worker must not hold a producer's connections. */
export function lazily<T>(make: () => T): () => T {
  let made: { readonly thing: T } | undefined
  return () => (made ??= { thing: make() }).thing
}

/** Lists of at most `size` payloads. */
export function* chunks(count: number, size: number): Generator<Payload[]> {
  for (let at = 0; at < count; at += size) {
    yield Array.from({ length: Math.min(size, count - at) }, (_, i) => payload(at + i))
  }
}

/** The private Redis. */
export const port = Number(process.env['BENCH_PORT'])
