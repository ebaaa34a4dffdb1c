import type { Held } from '../queue/turn.ts'

/** So many queues are named in any turn, and of longer lists no more than lately had the jobs that were wanted. */
const LEAST = 64

/** How far down a long list of queues turns look at first: to name ten thousand takes longer than a job does. */
export interface Reach {
  /** Those to name. */
  within(all: readonly string[]): readonly string[]
  /**
   * What a turn brought that named `named` of `all` and asked for `wanted` jobs. Returns whether the rest of the list
   * may have jobs for slots that are left: the next turn names all of it.
   */
  learn(all: readonly string[], named: readonly string[], wanted: number, held: readonly Held[]): boolean
}

export function createReach(): Reach {
  let reach = Infinity
  return {
    within: (all) => (reach < all.length ? all.slice(0, reach) : all),
    learn: (all, named, wanted, held) => {
      if (held.length < wanted) {
        if (named.length === all.length) return false
        reach = Infinity
        return true
      }
      if (all.length > LEAST) {
        const deepest = held.reduce((most, { queue }) => Math.max(most, named.indexOf(queue)), 0)
        reach = Math.max(LEAST, 2 * (deepest + 1))
      }
      return false
    },
  }
}
