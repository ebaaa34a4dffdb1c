/**
 * Stops one run: by its signal, and, where its end is not to be recorded, by an interruption, which may come after a
 * cancellation.
 */
export class Stop extends AbortController {
  /** Nothing is to be recorded: the worker stops, or another may hold the job. */
  interrupted = false
  #heard: (() => void) | undefined

  interrupt(reason: string): void {
    this.interrupted = true
    this.abort(new Error(reason))
    this.#heard?.()
  }

  /**
   * Waits for what the operator's own code does, but no longer than until the run is interrupted: a listener that never
   * settles must not hold a worker that stops. One wait at a time.
   */
  unlessInterrupted<T>(work: Promise<T>): Promise<T | undefined> {
    const interruption = new Promise<undefined>((resolve) => {
      this.#heard = () => resolve(undefined)
      if (this.interrupted) resolve(undefined)
    })
    return Promise.race([work, interruption])
  }
}
