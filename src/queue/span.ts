/** Where a value stands in JSON text: byte offsets, the end behind the last byte. */
export interface Span {
  readonly start: number
  readonly end: number
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN = new Set([0x7b, 0x5b])
const CLOSE = new Set([0x7d, 0x5d])
const SPACE = new Set([0x20, 0x09, 0x0a, 0x0d])

/**
 * Finds the value of a field of a JSON object by its bytes, so that it can be moved as it is: parsing and writing it
 * again would change numbers, escapes and spaces. The last one counts where a name occurs twice, as for JSON.parse. The
 * text must be valid JSON; undefined where there is no such field.
 *
 * White space around the value belongs to the object's layout, except in an object that begins without any: there it
 * came with the value, as in our own records, and is part of it.
 */
export function fieldSpan(json: Buffer, name: string): Span | undefined {
  let found: Span | undefined
  let at = skipSpace(json, 0)
  if (json[at] !== 0x7b) return undefined
  at = skipSpace(json, at + 1)
  const compact = json[at - 1] === 0x7b && json[at] === QUOTE && !SPACE.has(json[skipString(json, at) + 1] as number)
  while (at < json.length && json[at] === QUOTE) {
    const keyEnd = skipString(json, at)
    const key: unknown = JSON.parse(json.toString('utf8', at, keyEnd))
    // Past the colon.
    const colon = skipSpace(json, keyEnd)
    const start = skipSpace(json, colon + 1)
    const end = skipValue(json, start)
    at = skipSpace(json, end)
    if (key === name) found = compact ? { start: colon + 1, end: at } : { start, end }
    if (json[at] !== 0x2c) break
    at = skipSpace(json, at + 1)
  }
  return found
}

function skipSpace(json: Buffer, at: number): number {
  while (SPACE.has(json[at] as number)) at++
  return at
}

/** From an opening quote to behind the closing one. */
function skipString(json: Buffer, at: number): number {
  for (at++; at < json.length && json[at] !== QUOTE; at++) if (json[at] === BACKSLASH) at++
  return at + 1
}

function skipValue(json: Buffer, at: number): number {
  if (json[at] === QUOTE) return skipString(json, at)
  let depth = 0
  while (at < json.length) {
    const byte = json[at] as number
    if (byte === QUOTE) {
      at = skipString(json, at)
      continue
    }
    if (OPEN.has(byte)) depth++
    else if (CLOSE.has(byte)) {
      if (depth === 0) return at
      depth--
      if (depth === 0) return at + 1
    } else if (depth === 0 && (byte === 0x2c || SPACE.has(byte))) return at
    at++
  }
  return at
}
