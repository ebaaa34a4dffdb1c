/**
 * The workers' queue grammar: names in order of priority, `*` for every queue that exists, globs (`mail_*`, `?`, `[ab]`,
 * `[!ab]`, `\*`) for those that fit, `!name` or `!glob` for what is skipped (R14, and Ruby's globs).
 */
export interface Selection {
  readonly patterns: readonly string[]
  /** Whether the queues depend on which queues exist. */
  readonly dynamic: boolean
  /** What stands in the family's worker id: the patterns without skips, `*` if nothing is left. */
  readonly label: string
  /** What is skipped, as it was given: `!name`. */
  readonly skips: readonly string[]
  /** The queues to serve now, in order, each once. Those that a pattern finds are sorted by name. */
  resolve(known: readonly string[]): readonly string[]
}

const GLOB = /[*?[]/

/** Reads a worker's list of queues. Never throws: what is no glob is a name. */
export function selectQueues(patterns: readonly string[]): Selection {
  const wanted = patterns.filter((pattern) => !pattern.startsWith('!'))
  const skips = patterns.filter((pattern) => pattern.startsWith('!'))
  const skipped = skips.map((pattern) => matcher(pattern.slice(1)))
  const sources = (wanted.length > 0 ? wanted : ['*']).map((pattern) => ({
    pattern,
    finds: GLOB.test(pattern) ? matcher(pattern) : undefined,
  }))
  return Object.freeze({
    patterns,
    dynamic: sources.some(({ finds }) => finds),
    label: sources.map(({ pattern }) => pattern).join(','),
    skips,
    resolve: (known: readonly string[]) => {
      const found = new Set<string>()
      for (const { pattern, finds } of sources) {
        // Known names may be thousands: sorted are those that were found.
        for (const name of finds ? known.filter(finds).sort() : [pattern]) found.add(name)
      }
      return [...found].filter((name) => !skipped.some((fits) => fits(name)))
    },
  })
}

function matcher(pattern: string): (name: string) => boolean {
  if (pattern === '*') return () => true
  const expression = GLOB.test(pattern) ? expressionOf(pattern) : undefined
  return expression ? (name) => expression.test(name) : (name) => name === pattern
}

/** What a glob is made of: an escaped character, a class, or any other character. */
const PART = /\\([^])|\[([!^]?)((?:\\[^]|[^\\\]])*)\]|[^]/gu
/** What a class is made of: a range, or a character. */
const MEMBER = /\\?([^])(?:-\\?([^]))?/gu

/** A glob as Ruby's `File.fnmatch?` reads it; undefined for an unclosed bracket, which makes it a plain name. */
function expressionOf(glob: string): RegExp | undefined {
  let closed = true
  const source = glob.replace(PART, (part: string, escaped?: string, not?: string, members?: string) => {
    if (members !== undefined) return `[${not === '' ? '' : '^'}${members.replace(MEMBER, memberOf)}]`
    if (part === '*') return '*'
    if (part === '?') return '.'
    closed &&= part !== '['
    return literal(escaped ?? part)
  })
  // A dot in front of a name stands for itself alone, as for a shell.
  const dot = /^\\?\./.test(glob) ? '' : '(?!\\.)'
  return closed ? new RegExp(`^${dot}${starred(source)}$`, 'su') : undefined
}

/**
 * Of what stands between two stars the first place is the best one, and no other is tried (a group that is looked ahead
 * at is not gone back into): else a long name of a queue would keep a process busy for hours.
 */
function starred(source: string): string {
  const [first = '', ...others] = source.split('*')
  const last = others.pop()
  const between = others.map((part, i) => `(?=(.*?${part}))\\${i + 1}`)
  return last === undefined ? first : `${first}${between.join('')}.*${last}`
}

/** Of a range the wrong way round Ruby finds the ends. */
function memberOf(_: string, from: string, to?: string): string {
  if (to === undefined) return literal(from)
  return `${literal(from)}${(from.codePointAt(0) ?? 0) <= (to.codePointAt(0) ?? 0) ? '-' : ''}${literal(to)}`
}

function literal(char: string): string {
  return `\\u{${char.codePointAt(0)?.toString(16)}}`
}
