import { enqueuedAt, parsePayload } from './payload.ts'

/** What a listing says of a payload. */
export interface Brief {
  /** undefined where it cannot be read. */
  readonly class: string | undefined
  /** Empty where there is none. */
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly enqueuedAt: number | undefined
}

/**
 * Class, id and time of a payload that a script may have cut in the middle, with a NUL byte in place of what is missing
 * (JSON text never holds one). Of a cut one, class is read where it comes first and id and time where they come last,
 * as php-resque and we write them.
 */
export function briefOf(text: string): Brief {
  const parsed = parsePayload(text)
  if (parsed.ok) return { class: parsed.payload.class, id: parsed.payload.id, enqueuedAt: enqueuedAt(parsed.payload) }
  const cut = text.indexOf('\0')
  if (cut < 0) return { class: undefined, id: '', enqueuedAt: undefined }
  const head = /^\{"class":"(?:[^"\\]|\\.)*"/.exec(text)?.[0] ?? ''
  const named = parsePayload(`${head}}`)
  const tail = /\],"id":"([^"\\]*)","prefix":"[^"\\]*","queue_time":(\d+(?:\.\d+)?)[^\]]*$/.exec(text.slice(cut))
  return {
    class: named.ok ? named.payload.class : undefined, // cut in its middle, or no JSON at all: it is not known
    id: tail?.[1] ?? '',
    enqueuedAt: tail ? Number(tail[2]) * 1000 : undefined,
  }
}
