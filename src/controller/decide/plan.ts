/** Work that has to start within so many seconds from now: slot seconds. */
export interface DueWork {
  readonly inSeconds: number
  readonly work: number
}

/** What can start work, and when. */
export interface Supply {
  /**
   * Pods that work now, and what a busy slot of theirs did per second in the last seconds: 1, less while it is stuck in
   * a long job.
   */
  readonly ready: number
  readonly pace: number
  /** Seconds until each starting pod works, the soonest first. */
  readonly starting: readonly number[]
  /** Seconds until a pod works that is ordered now. */
  readonly newInSeconds: number
  readonly slots: number
  /** Mean seconds that a job runs: no slot starts less than one job. */
  readonly serviceSeconds: number
  /** The least time that new pods are given for what they have to start. */
  readonly leastSeconds: number
  /** The same, for what is late whatever is done. */
  readonly lateSeconds: number
}

/**
 * The least number of replicas that starts all work in time: pods that work, then those that start, then new ones. What
 * cannot be started in time any more is given `lateSeconds` from the moment that a new pod works. `due` is in order of
 * time.
 */
export function replicasFor(due: readonly DueWork[], supply: Supply): number {
  let needed = 0
  let sum = 0
  for (const { inSeconds, work } of due) {
    sum += work
    if (work > 0) needed = Math.max(needed, replicasBy(sum, inSeconds, supply))
  }
  return needed
}

/** Replicas that start `work` within `seconds`. */
function replicasBy(work: number, seconds: number, supply: Supply): number {
  const { ready, starting, slots, newInSeconds } = supply
  const ofReady = slots * supply.pace * Math.max(seconds, 0)
  if (work <= ofReady * ready) return work / ofReady
  const isLate = seconds < newInSeconds
  if (isLate && startsBy(seconds, supply) >= work) return countBy(work, seconds, supply)
  // By then it is to be started with the help of new pods.
  const by = isLate ? newInSeconds + supply.lateSeconds : Math.max(seconds, newInSeconds + supply.leastSeconds)
  const missing = work - startsBy(by, supply)
  if (missing <= 0) return countBy(work, by, supply)
  const ofNew = slots * Math.max(by - newInSeconds, supply.serviceSeconds)
  return ready + starting.length + missing / ofNew
}

/** Work that all pods there are start within `seconds`. */
export function startsBy(seconds: number, supply: Supply): number {
  const { ready, pace, starting, slots, serviceSeconds } = supply
  let sum = ready * slots * pace * Math.max(seconds, 0)
  for (const after of starting) if (after < seconds) sum += slots * Math.max(seconds - after, serviceSeconds)
  return sum
}

/** How many of the pods there are it takes, when all of them are enough. */
function countBy(work: number, seconds: number, supply: Supply): number {
  for (let n = 0; n < supply.starting.length; n++) {
    if (startsBy(seconds, { ...supply, starting: supply.starting.slice(0, n) }) >= work) return supply.ready + n
  }
  return supply.ready + supply.starting.length
}
