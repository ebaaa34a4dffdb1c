export type WorkerSignal = 'SIGTERM' | 'SIGQUIT' | 'SIGINT' | 'SIGUSR1' | 'SIGUSR2' | 'SIGCONT' | 'SIGHUP'

/** What signals make a worker do. */
export interface WorkerActions {
  /**
   * Whether a TERM or INT came before. A worker that stops for another reason, QUIT or the end of a burst, has still to
   * drain at the first.
   */
  readonly told: boolean
  /** Finish running jobs, take no new ones; after `deadline` put back what still runs. */
  drain(why: WorkerSignal, deadline: boolean): void
  /** Kill running jobs, put them back, leave with this exit code. */
  halt(why: WorkerSignal, exitCode: number): void
  /** Kill running jobs and go on; they are recorded as cancelled. */
  cancelJobs(): void
  pause(): void
  resume(): void
  reload(): void
}

/**
 * R48–R53, changed where Kubernetes asks for it: TERM comes with every rollout, so it drains until the shutdown
 * timeout; a second TERM or INT is immediate, and an interrupted job is put back, never failed.
 */
export function act(signal: WorkerSignal, actions: WorkerActions): void {
  switch (signal) {
    case 'SIGTERM':
    case 'SIGINT':
      if (actions.told) actions.halt(signal, signal === 'SIGTERM' ? 143 : 130)
      else actions.drain(signal, true)
      return
    case 'SIGQUIT':
      actions.drain(signal, false)
      return
    case 'SIGUSR1':
      actions.cancelJobs()
      return
    case 'SIGUSR2':
      actions.pause()
      return
    case 'SIGCONT':
      actions.resume()
      return
    case 'SIGHUP':
      actions.reload()
  }
}
