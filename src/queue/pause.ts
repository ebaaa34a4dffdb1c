import { pagesOf, scan } from '../redis/pages.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Store } from '../redis/store.ts'
import { queueName } from './enqueue.ts'
import { parsePaused, parsePausedAll } from './paused.ts'

const pauseScript = loadScript('queue_pause')
const ringScript = loadScript('ring')

/** Pauses a queue: our workers take nothing from it; foreign ones know no such thing. Returns whether it ran before. */
export async function pauseQueue(store: Store, queue: string): Promise<boolean> {
  return (await store.run(pauseScript, [queueName(queue), 'pause'])) === 1
}

/** Resumes a queue and wakes a worker for what waits in it. Returns whether it was paused before. */
export async function resumeQueue(store: Store, queue: string): Promise<boolean> {
  return (await store.run(pauseScript, [queueName(queue), 'resume'])) === 1
}

/** Names of the paused queues. */
export async function pausedQueues(store: Store): Promise<readonly string[]> {
  return parsePaused(await store.command('get', [store.keys.paused]))
}

/** Pauses every worker, Ruby's included: none takes a job until `resumeAll`. */
export async function pauseAll(store: Store): Promise<void> {
  await store.command('set', [store.keys.pauseAll, 'true'])
}

/** Ends `pauseAll` and wakes a worker for each queue that holds jobs. */
export async function resumeAll(store: Store): Promise<void> {
  await store.command('del', [store.keys.pauseAll])
  for await (const names of scan(store, 'sscan', store.keys.queues)) await ringQueues(store, names)
}

/** Whether every worker is paused. */
export async function isPausedAll(store: Store): Promise<boolean> {
  return parsePausedAll(await store.command('get', [store.keys.pauseAll]))
}

/** Wakes a worker for each of these queues that holds jobs. */
export async function ringQueues(store: Store, queues: readonly string[]): Promise<void> {
  for (const page of pagesOf(queues)) await store.run(ringScript, page)
}
