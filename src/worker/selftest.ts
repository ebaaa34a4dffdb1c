import { FRAME, frame } from './protocol.ts'
import type { Seat } from './seat.ts'

const TEST_CHILDREN = 10
const TEST_MS = 10_000

/** A fork that cannot be relied on here, with the reason: the caller takes `spawn`. */
export class Unfit extends Error {
  override readonly name: string = 'Unfit'
}

/**
 * Ten children, each of which must show timers, file access, its own pid and random numbers of its own. `done` gets
 * each that has answered. Rejects with `Unfit`.
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
          reject(
            new Unfit(`a forked child ended with ${end.signal ?? end.lost ?? `code ${end.code}`} in the self-test`),
          )
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
  await Promise.all(Array.from({ length: TEST_CHILDREN }, test))
}
