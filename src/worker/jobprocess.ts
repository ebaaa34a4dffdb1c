/** How a job process ended, as far as its parent can tell. */
export interface ProcessEnd {
  readonly pid?: number
  readonly code?: number
  readonly signal?: NodeJS.Signals
  readonly peakMemoryBytes?: number
  /** Why the process is gone through no doing of its own or ours (its zygote died, it could not be made). */
  readonly lost?: string
  /** It could not be made: no process ever was. */
  readonly unmade?: true
}

/** Told of what a process does while it has a job. */
export interface ProcessListener {
  /** The process exists; told once per job, at once where it was made ahead of need. */
  started(pid: number): void
  frame(type: number, body: Buffer): void
  line(stream: 'stdout' | 'stderr', line: string): void
  ended(end: ProcessEnd): void
  /** The process has not begun within its time, although whoever made it is well. */
  hung(): void
}

/** One process that performs jobs, whoever made it and however. */
export interface JobProcess {
  /** Hands a job over. `listener` is told of everything until `release` or the process's end. */
  assign(data: Buffer, listener: ProcessListener): void
  /**
   * Ends the assignment: what comes from now on belongs to no job. Lines that are still underway are told before it
   * returns or resolves, with the last 2 KB that the job wrote to stderr.
   */
  release(): string | Promise<string>
  /** To the whole process group. A process that is gone is no error. */
  kill(signal: NodeJS.Signals): void
  /** Whether the assigned job's code has begun to run. */
  begun(): boolean
  /** The last 2 KB that the job wrote to stderr. */
  stderr(): string
  pid(): number | undefined
}

/** Signals a process and what it started in its group; one that is gone is no error. Does nothing on Windows. */
export function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined || process.platform === 'win32') return
  try {
    process.kill(-pid, signal)
  } catch (error) {
    // EPERM: all that is left there runs as somebody else (sudo and its like), or, on macOS, is dead.
    if (!['ESRCH', 'EPERM'].includes((error as { code?: string }).code ?? '')) throw error
  }
}
