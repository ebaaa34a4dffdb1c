import { write, writeSync } from 'node:fs'

/** What is kept while a reader stands still. Characters. */
const MOST = 16 * 1_048_576
const AGAIN_MS = 50

/**
 * Writes to a descriptor in order, without waiting for it. What cannot be written (a full disk, a reader that left or
 * stands still) is dropped: no line of a log is worth a job, and the next ones are tried again. At the end of the
 * process what waits is written at once: a write that is still under way may come behind it, or be lost.
 */
export function createSink(fd: number): { write(text: string): void } {
  let waiting = ''
  let writing: Buffer | undefined

  const send = (at: number): void => {
    const chunk = writing as Buffer
    write(fd, chunk, at, (error, written) => {
      if (error?.code === 'EAGAIN') return void setTimeout(send, AGAIN_MS, at)
      if (!error && at + written < chunk.length) return send(at + written)
      writing = undefined
      start()
    })
  }
  const start = (): void => {
    if (writing || waiting === '') return
    writing = Buffer.from(waiting)
    waiting = ''
    send(0)
  }
  process.once('exit', () => {
    try {
      if (waiting !== '') writeSync(fd, waiting)
    } catch {
      // Nobody is left to be told.
    }
  })
  return {
    write(text) {
      if (waiting.length < MOST) waiting += text
      start()
    },
  }
}
