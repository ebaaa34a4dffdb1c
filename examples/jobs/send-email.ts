import { setTimeout as sleep } from 'node:timers/promises'
import { defineJob, Fatal } from 'resqueue/job'

/** What the job takes: enqueueing by `SendEmail` checks it. */
export interface Email {
  readonly to: string
  readonly subject: string
}

/** A function with its policy: five attempts, 10 s, 20 s, 40 s, 80 s apart, and half a minute for each. */
export const SendEmail = defineJob<[Email]>(
  'SendEmail',
  async ({ to, subject }, job) => {
    if (!to.includes('@')) throw new Fatal(`${to} is no address`)
    job.log.info(`sending "${subject}"`)
    await sleep(50, undefined, { signal: job.signal }) // here a mail library would do its work
    return { accepted: [to] }
  },
  { retry: { attempts: 5, delay: 10 }, timeout: 30 },
)
