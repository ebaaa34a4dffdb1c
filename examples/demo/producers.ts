import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { Queue } from 'node-resque'
import { ResQueue, type JobRequest } from 'resqueue'
import type { Place } from './place.ts'
import type { Planned, Producer } from './plan.ts'

/** Puts jobs of one producer into a queue, in its own way. Resolves when Redis has them. */
type Enqueue = (queue: string, jobs: readonly Planned[]) => Promise<void>

/** `tracked` are the ids whose status php-resque keeps. */
export type Producers = Readonly<Record<Producer, Enqueue>> &
  AsyncDisposable & { readonly client: ResQueue; readonly tracked: readonly string[] }

/** The four producers of the demo. */
export async function openProducers({ redis, url, namespace }: Place): Promise<Producers> {
  const client = new ResQueue({ redis: url, namespace })
  const nodeResque = new Queue({ connection: nodeResqueConnection(url, namespace) })
  let trouble: unknown
  nodeResque.on('error', (error) => (trouble = error))
  await nodeResque.connect()
  const tracked: string[] = []
  return {
    client,
    tracked,
    'our client': async (queue, jobs) => {
      await client.enqueueBulk(
        jobs.map(({ kind, args }): JobRequest => ({
          queue,
          class: kind.job,
          args,
          ...(kind.delay ? { in: kind.delay } : {}),
        })),
      )
    },
    'node-resque': async (queue, jobs) => {
      for (const { kind, args } of jobs) await nodeResque.enqueue(queue, kind.job, [...args])
      if (trouble !== undefined) throw trouble as Error
    },
    'php-resque': (queue, jobs) => push(redis, namespace, queue, jobs, phpPayload, tracked),
    'Ruby Resque': (queue, jobs) => push(redis, namespace, queue, jobs, rubyPayload, tracked),
    async [Symbol.asyncDispose]() {
      await client.close()
      await nodeResque.end()
    },
  }
}

/** `Resque.enqueue` of Ruby Resque. The broken one is cut off in the middle, as a producer with a bug leaves it. */
function rubyPayload({ kind, args }: Planned): string {
  const text = JSON.stringify({ class: kind.job, args })
  return kind.end === 'quarantined' ? text.slice(0, -2) : text
}

/** `Resque::enqueue` of php-resque: PHP's json_encode writes slashes and everything beyond ASCII as escapes. */
function phpPayload({ kind, args }: Planned, id: string): string {
  const fields = { class: kind.job, args, id, prefix: '', queue_time: Date.now() / 1000 }
  return JSON.stringify(fields)
    .replaceAll('/', '\\/')
    .replace(/[\u0080-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** As both do: the queue's name into the set, the payload at the tail; php-resque's status beside a tracked job. */
async function push(
  redis: Redis,
  namespace: string,
  queue: string,
  jobs: readonly Planned[],
  payload: (job: Planned, id: string) => string,
  tracked: string[],
): Promise<void> {
  const batch = redis.pipeline()
  for (const job of jobs) {
    const id = randomBytes(16).toString('hex')
    batch.sadd(`${namespace}:queues`, queue)
    batch.rpush(`${namespace}:queue:${queue}`, payload(job, id))
    if (!job.kind.track) continue
    tracked.push(id)
    const now = Math.floor(Date.now() / 1000)
    batch.set(`${namespace}:job:${id}:status`, `{"status":1,"updated":${now},"started":${now},"result":null}`)
  }
  for (const [error] of (await batch.exec()) ?? []) if (error) throw error
}

function nodeResqueConnection(url: string, namespace: string) {
  const { protocol, hostname, port, username, password, pathname } = new URL(url)
  return {
    namespace,
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 6379),
    database: Number(pathname.slice(1) || 0),
    options: {
      ...(username ? { username: decodeURIComponent(username) } : {}),
      ...(password ? { password: decodeURIComponent(password) } : {}),
      ...(protocol === 'rediss:' ? { tls: {} } : {}),
    },
  }
}
