import { ResQueueError } from '../errors.ts'
import { FRAME, frame } from './frames.ts'
import type { ProcessEnd } from './jobprocess.ts'
import type { Seat } from './seat.ts'

const TEST_CHILDREN = 10
const TEST_MS = 10_000

/** A fork that cannot be relied on here, with the reason: the caller takes `spawn`. */
export class Unfit extends Error {
  override readonly name: string = 'Unfit'
}

/** Processes or memory have run out for the moment, which says nothing of forking. */
export class Short extends ResQueueError {
  constructor(how: string) {
    super('UNAVAILABLE', `a job process cannot be made (${how}): raise the limit of processes or memory.`)
  }
}

/** What a child's end in its test says. */
function whyEnded(end: ProcessEnd): Unfit | Short {
  const how = end.signal ?? end.lost ?? `code ${end.code}`
  return end.unmade && /\b(EAGAIN|ENOMEM)$/.test(how)
    ? new Short(how)
    : new Unfit(`a forked child ended with ${how} in the self-test`)
}

/**
 * Ten children, each of which must show timers, file access, its own pid and random numbers of its own. `done` gets
 * each that has answered. Rejects with `Unfit`, or with `Short` where not all of them could be made.
 */
export async function selfTest(make: () => Seat, done: (seat: Seat) => void): Promise<void> {
  const seen = new Set<unknown>()
  const test = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const seat = make()
      const timer = setTimeout(() => {
        seat.kill('SIGKILL')
        reject(new Unfit('a forked child did not pass the self-test in time'))
      }, TEST_MS)
      const ignore = (): void => {}
      seat.assign(frame(FRAME.test), {
        started: ignore,
        line: ignore,
        hung: ignore,
        ended(end) {
          clearTimeout(timer)
          reject(whyEnded(end))
        },
        frame(type, body) {
          if (type !== FRAME.tested) return
          clearTimeout(timer)
          const { pid, seen: own, random, uuid } = JSON.parse(body.toString()) as Record<string, unknown>
          const fresh = pid === own && !seen.has(random) && !seen.has(uuid)
          seen.add(random).add(uuid)
          void seat.release()
          done(seat)
          if (fresh) resolve()
          else reject(new Unfit('forked children share their process id or their random numbers'))
        },
      })
    })
  const ends = await Promise.allSettled(Array.from({ length: TEST_CHILDREN }, test))
  const failures = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []))
  // One that was made may have ended because it could make no thread.
  if (failures.length > 0) throw failures.find((failure) => failure instanceof ResQueueError) ?? failures[0]
}
