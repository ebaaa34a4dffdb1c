import { writeSync } from 'node:fs'
import process from 'node:process'
import { inspect } from 'node:util'
import { leaveBy } from './exithooks.ts'

/** What Node calls on `process` itself: undocumented, and what signal-exit and its like rely on. */
interface Native {
  reallyExit(code: number): void
  /** An error that nothing caught. False: nobody listens, and Node ends the process. */
  _fatalException(thrown: unknown, fromPromise: boolean): boolean
  emit(name: string | symbol, ...args: unknown[]): boolean
  readonly _exiting?: boolean
}

/** The last words of a process that an error ends, as Node's own. */
function say(thrown: unknown): void {
  try {
    writeSync(2, `${inspect(thrown)}\n`)
  } catch {
    // Job code may have closed the descriptor; the exit code tells.
  }
}

/**
 * Returns a function that makes every end of a forked child an `exit` without teardown. Node's own joins threads that a
 * child does not have: it would stand there for ever, and its job with it. Made before the fork, so that it costs
 * children next to nothing.
 */
export function prepareDeparture(exit: (code: number) => never): () => void {
  const native = process as unknown as Native
  const fatal = native._fatalException
  const codeOf = (given: unknown): number => Number(process.exitCode ?? given ?? 0)

  return () => {
    const { emit } = native
    leaveBy(exit)
    native.reallyExit = exit
    // The natural end, and an error without a listener, are told to `exit` listeners just before the teardown begins.
    native.emit = (name, ...args) => {
      const heard = emit.call(process, name, ...args)
      return name === 'exit' && native._exiting ? exit(codeOf(args[0])) : heard
    }
    native._fatalException = (thrown, fromPromise) => {
      // Job code took our listener away.
      const alone = process.listenerCount('uncaughtException') === 0 && !process.hasUncaughtExceptionCaptureCallback()
      if (alone) say(thrown)
      try {
        if (fatal.call(process, thrown, fromPromise)) return true
      } catch (error) {
        say(error) // a listener failed in its turn
      }
      return exit(alone ? 1 : 7)
    }
  }
}
