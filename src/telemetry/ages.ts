/** A queue that holds jobs, as it is at one instant. */
interface Waiting {
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
 * Ages of heads from counts alone, for payloads that do not say when they were enqueued. A queue is first in, first
 * out: after n departures its head is arrival n + 1, which is as old as the first look that counted that many arrivals
 * (departures plus length). So an age is a lower bound that errs by one interval between looks, and by all of it for
 * what lay there before the first look. Of a long backlog 32 looks are kept, evenly spread. Departures to foreign
 * workers are inferred.
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
  times.push(now)
  arrived.push(count)
  if (times.length <= MOST_TIMES) return
  // The look with the nearest neighbours goes; what it had counted passes for arrived at the next one.
  let dropped = 1
  const gap = (i: number): number => (times[i + 1] as number) - (times[i - 1] as number)
  for (let i = 2; i < times.length - 1; i++) if (gap(i) < gap(dropped)) dropped = i
  times.splice(dropped, 1)
  arrived.splice(dropped, 1)
}

/** Drops the looks before the one that first counted the head. */
function forget({ times, arrived }: Track, gone: number): void {
  const at = arrived.findIndex((count) => count > gone)
  times.splice(0, at)
  arrived.splice(0, at)
}
