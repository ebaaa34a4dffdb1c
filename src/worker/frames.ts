import type { Assignment, Report } from './perform.ts'

/**
 * What a worker and its job processes say to each other: a length (u32, little endian, counting what follows), a type
 * (one byte) and a body. Small enough that a child needs no library, and results travel without being encoded twice.
 */
export const FRAME = {
  /** To the child: a job, as `[id, queue, class, attempt]`, a line feed, and the payload as it stands in Redis. */
  job: 0x4a,
  /** To the child: prove that timers, files and random numbers work. Answered with `tested`. */
  test: 0x54,
  tested: 0x74,
  /** From the child: it took the job. Only sent by spawned processes. */
  begun: 0x42,
  /** From the child: the result as JSON. */
  succeeded: 0x53,
  skipped: 0x4b,
  /** From the child: a `JobError`. */
  failed: 0x58,
  /** From the child, before one of these three: the most memory that it held so far, in bytes. */
  peak: 0x4d,
  /** From the child: it got a TERM, of which its job was told. */
  heard: 0x48,
  /** From the child: its own listeners are about to be told of a signal, whose name is the body. */
  told: 0x47,
  /** From the child: a line of `job.log`. */
  log: 0x4c,
  /** From a process that loads jobs: what it loaded; or why not. */
  loaded: 0x52,
  refused: 0x4e,
  /** From the zygote, in binary: see native/zygote.h. */
  forked: 0x46,
  ended: 0x45,
  pong: 0x50,
  /** From no process: a reader's own word for what it cannot read. The body says what it saw. */
  garbled: 0x00,
} as const

const HEADER = 5
const KNOWN: ReadonlySet<number> = new Set(Object.values(FRAME).filter((type) => type !== FRAME.garbled))
/** Longer than any frame: results, errors and lines of a log are bounded. Four bytes of text, read as a length, are more. */
const MOST_BYTES = 64 * 1_048_576

/** One frame, ready to be written. */
export function frame(type: number, body: string = ''): Buffer {
  const length = Buffer.byteLength(body)
  const out = Buffer.allocUnsafe(HEADER + length)
  out.writeUInt32LE(length + 1, 0)
  out[4] = type
  out.write(body, HEADER)
  return out
}

/**
 * Takes a stream apart. `pending` tells whether half a frame is waiting for its rest, or what came could not be read.
 */
export interface FrameReader {
  push(chunk: Buffer): void
  pending(): boolean
}

/**
 * Calls `take` for each whole frame, in order. The body is only valid during the call. Job code can write to its
 * channel, so anything may come: at the first length or type that no frame has, `take` gets one of type `garbled`, and
 * again with whatever comes after it; nothing else is read from then on. `mostBytes` bounds what is believed of a
 * length, and so what is gathered.
 */
export function frameReader(take: (type: number, body: Buffer) => void, mostBytes: number = MOST_BYTES): FrameReader {
  let rest: Buffer | undefined
  let parts: Buffer[] = []
  let missing = 0
  let garbled: Buffer | undefined

  const lengthAt = (data: Buffer, at: number): number => {
    const length = data.readUInt32LE(at)
    const type = data[at + 4]
    if (length < 1 || length > mostBytes) garbled = Buffer.from(`a length of ${length}`)
    else if (type !== undefined && !KNOWN.has(type)) garbled = Buffer.from(`a frame of type ${type}`)
    return length
  }
  return {
    push(chunk) {
      if (garbled) return take(FRAME.garbled, garbled)
      let data = chunk
      if (rest) {
        parts.push(Buffer.from(chunk))
        missing -= chunk.length
        if (missing > 0) return
        data = Buffer.concat(parts)
        parts = []
        rest = undefined
      }
      let at = 0
      while (data.length - at >= HEADER) {
        const end = at + 4 + lengthAt(data, at)
        if (garbled) return take(FRAME.garbled, garbled)
        if (end > data.length) break
        take(data[at + 4] as number, data.subarray(at + HEADER, end))
        at = end
      }
      if (at === data.length) return
      // Copied, because the chunk's memory may be used again. Large frames gather in parts and are joined once.
      rest = Buffer.from(data.subarray(at))
      parts = [rest]
      missing = (rest.length >= HEADER ? 4 + rest.readUInt32LE(0) : HEADER) - rest.length
    },
    pending: () => rest !== undefined || garbled !== undefined,
  }
}

/** The frame that hands a job to its process. */
export function assignmentFrame(job: Assignment): Buffer {
  return frame(FRAME.job, `${JSON.stringify([job.id, job.queue, job.class, job.attempt])}\n${job.payload}`)
}

/** Reads an `assignmentFrame`'s body. */
export function readAssignment(body: string): Assignment {
  const end = body.indexOf('\n')
  const [id, queue, name, attempt] = JSON.parse(body.slice(0, end)) as [string, string, string, number]
  return { id, queue, class: name, attempt, payload: body.slice(end + 1) }
}

/** The frame that says how a job's code ended. */
export function reportFrame(report: Report): Buffer {
  if (report.kind === 'succeeded') return frame(FRAME.succeeded, report.result)
  return report.kind === 'skipped' ? frame(FRAME.skipped) : frame(FRAME.failed, JSON.stringify(report.error))
}
