/** Enqueues a few jobs and shows what becomes of them. A worker: `resqueue work --queues mail,reports --jobs examples/jobs`. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ResQueue, ResQueueError } from 'resqueue'
import { SendEmail } from './jobs/send-email.ts'

await using queue = new ResQueue() // REDIS_URL, else the local Redis

queue.events.listen('beforeEnqueue', (_job, _args, queueName) => queueName !== 'closed') // false: not enqueued

try {
  const id = await queue.enqueue('mail', SendEmail, { to: 'ann@example.org', subject: 'Hello' }, { track: true })
  if (id === false) throw new Error('vetoed')
  await queue.enqueue('mail', SendEmail, { to: 'nobody', subject: 'Goes to the failed list' })
  await queue.enqueueIn(5, 'mail', SendEmail, { to: 'bob@example.org', subject: 'Five seconds later' })
  await queue.enqueue({ queue: 'reports', class: 'Reports::Monthly', args: [2024, 2] })

  for (;;) {
    const status = await queue.status(id).get()
    console.log(status && status.state)
    if (!status || status.state === 'complete' || status.state === 'failed') break
    await sleep(500)
  }
  for (const { name, size } of (await queue.queues.list()).queues) console.log(`${name}: ${size} waiting`)
  for (const entry of (await queue.failed.list({ limit: 5 })).entries) console.log(`${entry.exception}: ${entry.error}`)
} catch (error) {
  if (!(error instanceof ResQueueError)) throw error
  console.error(`${error.code}: ${error.message}`)
  process.exitCode = 1
}
