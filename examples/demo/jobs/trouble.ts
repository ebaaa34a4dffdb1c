import { defineJob } from 'resqueue/job'

/** Jobs that end badly, each in its own way. None of them may disturb the worker or the jobs beside it. */
export const Throws = defineJob<[{ no: number }]>('Throws', ({ no }) => {
  throw new RangeError(`invoice ${no} has a negative amount`)
})

export const Exits = defineJob('Exits', () => process.exit(3))

/** As the kernel or an operator would end it. */
export const IsKilled = defineJob('IsKilled', () => {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => {})
})

export const EatsMemory = defineJob('EatsMemory', async () => {
  const eaten: Buffer[] = []
  for (;;) {
    eaten.push(Buffer.alloc(4_000_000, eaten.length + 1))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
})

/** No timer and no signal handler gets through to it; its process can only be killed. */
export const NeverEnds = defineJob(
  'NeverEnds',
  () => {
    for (;;);
  },
  { timeout: 1 },
)
