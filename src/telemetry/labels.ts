/** What a label says where its own value would be one too many. */
export const OTHER = 'other'

const LONGEST = 128

/**
 * A value as a label: bounded in length, and always text that survives UTF-8, so that two labels never look the same.
 */
export function labelText(value: string): string {
  return (value.length > LONGEST ? value.slice(0, LONGEST) : value).toWellFormed()
}

/** Gives out labels: the first `most` different values keep their own, all others share `other`. */
export function cappedLabels(most: number): (value: string) => string {
  const given = new Set<string>()
  return (value) => {
    const label = labelText(value)
    if (given.has(label)) return label
    if (given.size >= most) return OTHER
    given.add(label)
    return label
  }
}
