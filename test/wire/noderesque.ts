import { Queue, Scheduler, Worker } from 'node-resque'
import { own } from '../support/scope.ts'

/** One job as node-resque's worker performed it. */
export type Performed = readonly [className: string, ...args: unknown[]]

function connection(redisUrl: string, ns: string): { host: string; port: number; namespace: string } {
  const { hostname, port } = new URL(redisUrl)
  return { host: hostname, port: Number(port), namespace: ns }
}

/** node-resque's queue object, connected and closed with the test. */
export async function openNodeQueue(redisUrl: string, ns: string): Promise<Queue> {
  const queue = new Queue({ connection: connection(redisUrl, ns) })
  queue.on('error', () => undefined)
  await queue.connect()
  own('queue of node-resque', () => queue.end())
  return queue
}

export interface NodeWorker {
  readonly worker: Worker
  readonly performed: readonly Performed[]
  readonly failures: readonly unknown[]
}

/** A worker of node-resque on these queues, performing `names` by writing down their arguments. */
export async function startNodeWorker(
  redisUrl: string,
  ns: string,
  names: readonly string[],
  queues: readonly string[] = ['default'],
  before: () => Promise<void> = () => Promise.resolve(),
): Promise<NodeWorker> {
  const performed: Performed[] = []
  const failures: unknown[] = []
  const perform =
    (name: string) =>
    async (...args: unknown[]) => {
      performed.push([name, ...args])
      await before()
      return true
    }
  const jobs = Object.fromEntries(names.map((name) => [name, { perform: perform(name) }]))
  const worker = new Worker({ connection: connection(redisUrl, ns), queues: [...queues], timeout: 20 }, jobs)
  worker.on('failure', (_queue, _job, error) => void failures.push(error))
  worker.on('error', (error) => void failures.push(error))
  await worker.connect()
  await worker.start()
  own('worker of node-resque', () => worker.end())
  return { worker, performed, failures }
}

/** A scheduler of node-resque, connected but not started. */
export async function openNodeScheduler(redisUrl: string, ns: string, stuckWorkerTimeout = 1000): Promise<Scheduler> {
  const scheduler = new Scheduler({ connection: connection(redisUrl, ns), timeout: 20, stuckWorkerTimeout })
  scheduler.on('error', () => undefined)
  await scheduler.connect()
  own('scheduler of node-resque', () => scheduler.end())
  return scheduler
}
