/** A count as people read it: 12,345. */
export function count(n: number): string {
  return n.toLocaleString('en-US')
}

/** `1 job`, `2 jobs`. */
export function plural(n: number, one: string, many: string = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`
}

/** At most a few names, and how many more there are. */
export function some(names: readonly string[], most = 3): string {
  const more = names.length - most
  return `${names.slice(0, most).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}
