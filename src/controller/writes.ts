/** How many of our last writes are looked at, how many of them undone make a contest, and for how long they count. */
const LOOKED_AT = 5
const UNDONE = 3
const COUNTS_MS = 3_600_000

interface Write {
  readonly at: number
  readonly to: number
  undone: boolean
}

/**
 * Our last writes of a scale, and whether somebody undid them: an HPA, KEDA, or a deploy tool that renders replicas.
 */
export interface Writes {
  /** A write goes out. Where its answer is lost, the next reading tells whether it came through. */
  sending(to: number): void
  wrote(to: number, now: number): void
  /** Tells what the scale was read as; another value than we wrote last means that our write was undone. */
  read(replicas: number, now: number): void
  /** Three of the last five writes, within an hour, were undone. */
  contested(now: number): boolean
  forget(): void
}

export function createWrites(): Writes {
  let writes: Write[] = []
  let unanswered: number | undefined
  const wrote = (to: number, now: number): void => {
    unanswered = undefined
    writes = [...writes, { at: now, to, undone: false }].slice(-LOOKED_AT)
  }
  return {
    sending: (to) => {
      unanswered = to
    },
    wrote,
    read: (replicas, now) => {
      if (replicas === unanswered) wrote(replicas, now)
      unanswered = undefined
      const last = writes.at(-1)
      if (last && last.to !== replicas) last.undone = true
    },
    contested: (now) => {
      writes = writes.filter(({ at }) => now - at < COUNTS_MS)
      return writes.filter(({ undone }) => undone).length >= UNDONE
    },
    forget: () => {
      writes = []
    },
  }
}
