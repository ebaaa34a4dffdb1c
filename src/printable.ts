/**
 * Text from Redis made safe for a terminal: control characters, also those beyond ASCII, and characters that cannot be
 * seen or turn the direction of writing are shown as escapes. Whoever can enqueue must not be able to move an
 * operator's cursor, or give one name the looks of another.
 */
export function printable(text: string): string {
  return text.toWellFormed().replace(UNSAFE, escape)
}

/** JSON that is safe on a terminal: the same value, with what `printable` would escape written as \uXXXX. */
export function safeJson(value: unknown): string {
  // What JSON.stringify leaves as it is stands inside strings only, except line feeds of the indentation.
  return JSON.stringify(value, null, 2).replace(UNSAFE, (char) => (char === '\n' ? char : unicode(char)))
}

/** A line of JSON whose texts read as `printable` shows them. */
export function printableJson(line: string): string {
  return line
    .replace(/\\(["\\]?)/g, (found, kept: string) => (kept === '' ? `\\${found}` : found))
    .replace(UNSAFE, (char) => (char === '\n' ? char : unicode(char).replaceAll('\\', '\\\\')))
}

/** All that Unicode lets a reader ignore; behind a picture its variation selector makes it one in colour. */
const UNSAFE =
  /(?<!\p{Extended_Pictographic})\ufe0f|[\p{Cc}\p{Zl}\p{Zp}\ufff9-\ufffb[\p{Default_Ignorable_Code_Point}--\ufe0f]]/gv

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

function escape(char: string): string {
  return SHORT[char] ?? unicode(char)
}

/** As JSON writes it: a character beyond the first 65,536 is two. */
function unicode(char: string): string {
  return char
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')
}
