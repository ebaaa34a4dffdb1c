import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { messageOf, ResQueueError } from '../errors.ts'

/** Writes this process's id to a file and returns how to remove it. Throws `CONFIG` where that cannot be done. */
export function writePidfile(path: string): () => void {
  try {
    writeFileSync(path, `${process.pid}\n`)
  } catch (error) {
    throw new ResQueueError(
      'CONFIG',
      `The pid file ${path} (--pidfile, PIDFILE) cannot be written: ${messageOf(error)}`,
      { cause: error },
    )
  }
  return () => {
    try {
      // Only ours: a successor may have written its own already.
      if (readFileSync(path, 'utf8').trim() === String(process.pid)) rmSync(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        process.stderr.write(`resqueue: the pid file ${path} could not be removed: ${messageOf(error)}\n`)
    }
  }
}
