/** A queue that holds jobs, as it is at one instant. */
export interface Waiting {
  readonly queue: string
  /** Jobs in it, at least 1. */
  readonly length: number
  /** Jobs that ever left it through ResQueue's workers: taken less put back. */
  readonly departed: number
}

/** What is remembered of a queue: how many jobs had ever arrived in it at some times, both rising. */
interface Track {
  readonly times: number[]
  readonly arrived: number[]
  /** Departures that nobody counted, seen as arrivals that fell. */
  uncounted: number
}

const MOST_TIMES = 32

/**
 * Ages of heads from counts alone, for payloads that do not say when they were enqueued. A queue is first in, first out:
 * after n departures its head is arrival n + 1, which is as old as the first look that counted that many arrivals
 * (departures plus length). So an age is a lower bound that errs by one interval between looks, and by all of it for what
 * lay there before the first look. Departures to foreign workers are inferred.
 *
 * Call with all queues that are not empty, at every look; returns ms by queue.
 */
export function createAges(): (now: number, waiting: readonly Waiting[]) => Map<string, number> {
  let tracks = new Map<string, Track>()
  return (now, waiting) => {
    const next = new Map<string, Track>()
    const ages = new Map<string, number>()
    for (const { queue, length, departed } of waiting) {
      const track = tracks.get(queue) ?? { times: [], arrived: [], uncounted: 0 }
      next.set(queue, track)
      const before = track.arrived.at(-1) ?? 0
      track.uncounted += Math.max(before - (departed + track.uncounted + length), 0)
      const gone = departed + track.uncounted
      if (gone + length > before || track.times.length === 0) note(track, now, gone + length)
      forget(track, gone)
      ages.set(queue, Math.max(now - (track.times[0] as number), 0))
    }
    tracks = next
    return ages
  }
}

function note({ times, arrived }: Track, now: number, count: number): void {
  if (times.length >= MOST_TIMES) {
    // Every second look is dropped; what it had counted passes for arrived at the next one.
    for (const list of [times, arrived]) list.splice(0, list.length, ...list.filter((_, i) => i % 2 === 1))
  }
  times.push(now)
  arrived.push(count)
}

/** Drops the looks before the one that first counted the head. */
function forget({ times, arrived }: Track, gone: number): void {
  const at = arrived.findIndex((count) => count > gone)
  times.splice(0, at)
  arrived.splice(0, at)
}
