import { loadScript } from '../redis/scripts.ts'
import type { Store } from '../redis/store.ts'
import { queueName } from './enqueue.ts'
import { parsePaused } from './paused.ts'
import { isTrue } from './stat.ts'

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
  let cursor = '0'
  do {
    const [next, names] = (await store.command('sscan', [store.keys.queues, cursor, 'COUNT', 500])) as [
      string,
      string[],
    ]
    cursor = next
    if (names.length > 0) await ringQueues(store, names)
  } while (cursor !== '0')
}

/** Whether every worker is paused. */
export async function isPausedAll(store: Store): Promise<boolean> {
  return isTrue((await store.command('get', [store.keys.pauseAll])) as string | null)
}

/** Wakes a worker for each of these queues that holds jobs. */
export async function ringQueues(store: Store, queues: readonly string[]): Promise<void> {
  for (let at = 0; at < queues.length; at += 1000) await store.run(ringScript, queues.slice(at, at + 1000))
}
