/** Cuts a stream of RESP2 or RESP3 into whole values, without understanding more of them than their length. */
export interface Splitter {
  /** The values that are complete now, each as the bytes it came in. */
  push(chunk: Buffer): Buffer[]
}

export function splitter(): Splitter {
  let chunks: Buffer[] = []
  let length = 0
  let need = 1
  return {
    push(chunk) {
      chunks.push(chunk)
      length += chunk.length
      if (length < need) return []
      const all = chunks.length === 1 ? chunk : Buffer.concat(chunks, length)
      const frames: Buffer[] = []
      let at = 0
      need = 1
      while (at < all.length) {
        const end = endOf(all, at)
        if (end > all.length) {
          need = end - at
          break
        }
        frames.push(all.subarray(at, end))
        at = end
      }
      chunks = at < all.length ? [all.subarray(at)] : []
      length = all.length - at
      return frames
    },
  }
}

/** Where the value at `at` ends; beyond the buffer when more bytes are needed. */
function endOf(buffer: Buffer, at: number): number {
  const eol = buffer.indexOf('\r\n', at, 'latin1')
  if (eol < 0) return buffer.length + 1
  const start = eol + 2
  const count = Number(buffer.toString('latin1', at + 1, eol))
  switch (String.fromCharCode(buffer[at] as number)) {
    case '$':
    case '=':
    case '!':
      return count < 0 ? start : start + count + 2
    case '*':
    case '~':
    case '>':
      return skip(buffer, start, count)
    case '%':
      return skip(buffer, start, count * 2)
    case '|':
      return skip(buffer, start, count * 2 + 1)
    default:
      return start
  }
}

function skip(buffer: Buffer, from: number, values: number): number {
  let at = from
  for (let i = 0; i < values && at <= buffer.length; i++) at = endOf(buffer, at)
  return at
}

/** The words of one request: an array of bulk strings, or an inline command. */
export function parseRequest(frame: Buffer): Buffer[] {
  if (frame[0] !== 0x2a)
    return frame
      .toString('latin1')
      .trim()
      .split(/\s+/)
      .map((word) => Buffer.from(word, 'latin1'))
  const words: Buffer[] = []
  let at = frame.indexOf('\r\n', 0, 'latin1') + 2
  while (at < frame.length) {
    const eol = frame.indexOf('\r\n', at, 'latin1')
    const size = Number(frame.toString('latin1', at + 1, eol))
    words.push(frame.subarray(eol + 2, eol + 2 + size))
    at = eol + 2 + size + 2
  }
  return words
}
