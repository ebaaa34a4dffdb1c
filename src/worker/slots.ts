/**
 * The claims that a worker's slots hold under one registration, and the numbers of those to come. A number is given
 * once; the numbers of calls that go out one after the other rise (docs/protocol.md, "Claims").
 */
export interface Slots {
  /** Slots that hold a job, or whose job's end is not acknowledged yet. */
  readonly occupied: number
  /** All of them, from 0. */
  readonly all: readonly number[]
  /** Whether a slot holds this very claim. */
  holds(slot: number, claim: number): boolean
  /** Those of `among` that hold nothing, `most` at most. */
  idle(among: readonly number[], most: number): number[]
  hold(slot: number, claim: number): void
  free(slot: number): void
  /** Whether a claim is younger than all that its slot has held: answers may come in any order. */
  isNews(slot: number, claim: number): boolean
  /** The first of `count` numbers for a call that goes out now. */
  number(count: number): number
  /** The first of `count` numbers for a call that goes out now and is answered behind calls that go out later. */
  numberAhead(count: number): number
  /** Redis may have seen those numbers: the next are above them. */
  passAhead(): void
  /** A new registration: nothing is held, numbers begin anew. */
  reset(): void
}

/**
 * How far above the next claim number a turn that waits for a token takes its own: turns that go out meanwhile stay
 * below, so that it is not too late when its token comes.
 */
const AHEAD = 1000

export function createSlots(count: number): Slots {
  const claims = new Array<number>(count).fill(0)
  /** The last claim that each slot has held. */
  const last = new Array<number>(count).fill(0)
  let next = 1
  let afterAhead = 0

  return {
    get occupied() {
      return claims.reduce((sum, claim) => sum + (claim === 0 ? 0 : 1), 0)
    },
    all: claims.map((_, slot) => slot),
    holds: (slot, claim) => claims[slot] === claim,
    idle: (among, most) => {
      const idle: number[] = []
      for (const slot of among) {
        if (idle.length >= most) break
        if (claims[slot] === 0) idle.push(slot)
      }
      return idle
    },
    hold: (slot, claim) => {
      claims[slot] = claim
      last[slot] = claim
    },
    free: (slot) => {
      claims[slot] = 0
    },
    isNews: (slot, claim) => claim > (last[slot] as number),
    number: (wanted) => {
      const first = next
      next += wanted
      return first
    },
    numberAhead: (wanted) => {
      afterAhead = next + AHEAD + wanted
      return next + AHEAD
    },
    passAhead: () => {
      next = Math.max(next, afterAhead)
    },
    reset: () => {
      claims.fill(0)
      last.fill(0)
      next = 1
      afterAhead = 0
    },
  }
}
