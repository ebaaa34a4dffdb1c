import type { Held } from '../queue/turn.ts'

/** What is asked for after answers that came too late to start their jobs: large ones on a slow line would always be. */
export interface Lateness {
  /** So many jobs at once, at most: halved by a late answer, doubled by any other. */
  readonly most: number
  /** Slots whose jobs came too late, in the order of these: they are asked for before any others. */
  readonly slots: readonly number[]
  /** An answer for the idle slots that were asked for. */
  learn(isLate: boolean, idle: readonly number[], held: readonly Held[]): void
}

export function createLateness(): Lateness {
  let most = Infinity
  let slots: readonly number[] = []
  return {
    get most() {
      return most
    },
    get slots() {
      return slots
    },
    learn: (isLate, idle, held) => {
      if (isLate) {
        most = Math.max(Math.floor(held.length / 2), 1)
        slots = [...new Set([...slots, ...held.map(({ slot }) => slot)])]
      } else {
        most *= 2
        if (slots.length > 0) slots = slots.filter((slot) => !idle.includes(slot))
      }
    },
  }
}
