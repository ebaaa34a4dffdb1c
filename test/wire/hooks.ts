import { existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { DoNotPerform, type JobContext } from '../../src/worker/job.ts'
import { record } from './record.ts'

/** Waits for the file that WIRE_HOLD names, if it names one, so that a test can look at Redis before the worker registers. */
async function beforeFirstForkHook({ nonce }: { nonce: string }): Promise<void> {
  record({ event: 'beforeFirstFork', nonce })
  const hold = process.env['WIRE_HOLD']
  while (hold !== undefined && !existsSync(hold)) await delay(10)
}

function told(event: string) {
  return (job: JobContext): void => {
    record({ event, class: job.class, queue: job.queue, id: job.id, pid: process.pid })
    const { fail, skip } = (job.payload['args'] as [{ fail?: string; skip?: string }?])[0] ?? {}
    if (fail === event) throw new RangeError(`${event} failed`)
    if (skip === event) throw new DoNotPerform()
  }
}

/** Every event that a hooks module can listen to; what is no function is passed over. */
export const beforeFirstFork = [beforeFirstForkHook, 'not callable']
export const beforeFork = (job: { class: string; queue: string; payload: string }): void =>
  record({ event: 'beforeFork', class: job.class, queue: job.queue, payload: job.payload })
export const afterFork = told('afterFork')
export const beforePerform = [told('beforePerform'), undefined]
export const afterPerform = told('afterPerform')
export const onFailure = (error: { type: string; message: string }, job: { class: string }): void =>
  record({ event: 'onFailure', class: job.class, type: error.type, message: error.message })
export const beforeDelayedEnqueue = (queue: string, name: string, args: unknown[]): void =>
  record({ event: 'beforeDelayedEnqueue', queue, class: name, args })
