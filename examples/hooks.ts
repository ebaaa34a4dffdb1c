import type { JobContext } from 'resqueue/job'

/** For `resqueue work --hooks examples/hooks.ts`. One module, loaded in both places. */

// In the worker's own process: the operator's code, which may hold connections.

export function beforeFirstFork(worker: { name: string }): void {
  console.log(`${worker.name} is ready`)
}

export function onFailure(error: { type: string; message: string }, job: { id: string; class: string }): void {
  console.log(`tell somebody: ${job.class} ${job.id} failed for good with ${error.type}: ${error.message}`)
}

// In the process of each job, around its perform.

export function beforePerform(job: JobContext): void {
  if (job.payload['tenant'] === 'suspended') throw new Error('this tenant is suspended') // fails the job
}

/** Listeners may be lists; they are called in order and awaited. */
export const afterPerform = [
  async (job: JobContext): Promise<void> => {
    job.log.debug(`${job.class} is done`)
  },
]
