import { spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { defineJob } from 'resqueue/job'

/** Says where it runs. */
export const Where = defineJob('Where', async (job) => {
  job.log.info('where', { uid: process.getuid?.(), pid: process.pid, parent: process.ppid })
})

/** Takes as many milliseconds as it is told. */
export const Note = defineJob<[number]>('Note', async (ms, job) => {
  job.log.info('note', { pid: process.pid })
  await delay(ms)
})

/** Runs until it is stopped, and then does not look at the signal. */
export const Endless = defineJob('Endless', async (job) => {
  job.log.info('endless')
  await delay(3_600_000)
})

/** Takes memory outside the heap of JavaScript until something stops it. */
export const Hog = defineJob('Hog', async () => {
  const held: Buffer[] = []
  for (;;) {
    held.push(Buffer.alloc(4 * 1024 * 1024, 1))
    await delay(5)
  }
})

/** Leaves a grandchild behind that ends a moment later, when nobody of its own waits for it any more. */
export const Orphan = defineJob('Orphan', async (job) => {
  const child = spawn('sh', ['-c', 'sleep 0.3 & sleep 0.3 &'], { detached: true, stdio: 'ignore' })
  await new Promise((resolve) => child.once('exit', resolve))
  job.log.info('orphaned')
})
