/** Values counted by size, as a Prometheus histogram shows them. */
export interface Distribution {
  /** Upper bounds, rising, inclusive. */
  readonly bounds: readonly number[]
  /** How many values fell into each bucket (not cumulative); the last one has no bound. */
  readonly counts: number[]
  sum: number
}

export function distribution(bounds: readonly number[]): Distribution {
  return { bounds, counts: bounds.map(() => 0).concat(0), sum: 0 }
}

/** Counts a value. What is no number, or below zero because two clocks disagree, counts as 0. */
export function record(into: Distribution, value: number): void {
  const { bounds, counts } = into
  const counted = value > 0 ? value : 0
  let bucket = 0
  while (bucket < bounds.length && counted > (bounds[bucket] as number)) bucket++
  counts[bucket] = (counts[bucket] as number) + 1
  into.sum += counted
}
