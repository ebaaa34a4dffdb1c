import { StringDecoder } from 'node:string_decoder'

const TAIL_BYTES = 2048
/**
 * A line that does not end is cut here, so that a job which writes without line feeds cannot fill the worker's memory.
 */
const MAX_LINE = 65_536

/** Cuts a byte stream into lines. */
export interface LineSplitter {
  push(chunk: Buffer): void
  /** Gives out what has not ended with a line feed, and forgets the tail. */
  flush(): void
  /** The last 2 KB since the last flush. */
  tail(): string
}

/** Calls `take` for each line, without its line feed. Empty lines count. */
export function lineSplitter(take: (line: string) => void): LineSplitter {
  let decoder: StringDecoder | undefined
  let rest = ''
  let tail: Buffer = Buffer.alloc(0)
  return {
    push(chunk) {
      decoder ??= new StringDecoder('utf8')
      tail =
        chunk.length >= TAIL_BYTES
          ? Buffer.from(chunk.subarray(-TAIL_BYTES))
          : Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES)
      const lines = (rest + decoder.write(chunk)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) take(line.endsWith('\r') ? line.slice(0, -1) : line)
      while (rest.length > MAX_LINE) {
        take(rest.slice(0, MAX_LINE))
        rest = rest.slice(MAX_LINE)
      }
    },
    flush() {
      if (!decoder) return
      rest += decoder.end()
      decoder = undefined
      if (rest !== '') take(rest)
      rest = ''
      tail = Buffer.alloc(0)
    },
    tail: () => tail.toString(),
  }
}
