/**
 * The workers' queue grammar: names in order of priority, `*` and globs (`mail_*`, `?`, `[ab]`, `[!ab]`) for whatever
 * exists, `!name` or `!glob` for what is skipped (R14, and Ruby's globs).
 */
export interface Selection {
  readonly patterns: readonly string[]
  /** Whether the queues depend on which queues exist. */
  readonly dynamic: boolean
  /** What stands in the family's worker id: the patterns without skips, `*` if nothing is left. */
  readonly label: string
  /** The queues to serve now, in order, each once. Those that a pattern finds are sorted by name. */
  resolve(known: readonly string[]): readonly string[]
}

const GLOB = /[*?[]/

/** Reads a worker's list of queues. Never throws: what is no glob is a name. */
export function selectQueues(patterns: readonly string[]): Selection {
  const wanted = patterns.filter((pattern) => !pattern.startsWith('!'))
  const skips = patterns.filter((pattern) => pattern.startsWith('!')).map((pattern) => matcher(pattern.slice(1)))
  const sources = (wanted.length > 0 ? wanted : ['*']).map((pattern) => ({
    pattern,
    finds: GLOB.test(pattern) ? matcher(pattern) : undefined,
  }))
  return Object.freeze({
    patterns,
    dynamic: sources.some(({ finds }) => finds),
    label: sources.map(({ pattern }) => pattern).join(','),
    resolve: (known: readonly string[]) => {
      const found = new Set<string>()
      for (const { pattern, finds } of sources) {
        // Known names may be thousands: sorted are those that were found.
        for (const name of finds ? known.filter(finds).sort() : [pattern]) found.add(name)
      }
      return [...found].filter((name) => !skips.some((skip) => skip(name)))
    },
  })
}

function matcher(pattern: string): (name: string) => boolean {
  if (!GLOB.test(pattern)) return (name) => name === pattern
  const source = pattern
    .replace(/[\\^$.|+(){}]/g, '\\$&')
    .replace(/\[(?:!|\\\^)/g, '[^')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.')
  let expression: RegExp
  try {
    expression = new RegExp(`^${source}$`, 'su')
  } catch {
    return (name) => name === pattern // an unclosed bracket is a plain name
  }
  return (name) => expression.test(name)
}
