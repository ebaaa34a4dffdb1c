/**
 * The end of a process that runs job code, where libraries reach it. signal-exit, on which most of them stand, wraps
 * `emit` and `reallyExit` of `process`, calls what it found there when it was loaded, and at times puts that back: what
 * must not get lost is to be found there before job code loads.
 */
interface Native {
  emit(name: string | symbol, ...args: unknown[]): boolean
  reallyExit(code: number): void
}

/** Handlers that a library keeps beside the listeners of `exit`. */
interface Handlers {
  readonly count: number
  clear(): void
}

/** What service managers and terminals stop a whole tree of processes with. */
export const STOPPING: ReadonlySet<string | symbol> = new Set(['SIGTERM', 'SIGINT', 'SIGHUP'])

let nothingLeft: ((code: number) => void) | undefined
let toldToStop: ((signal: string) => void) | undefined
let leave: ((code: number) => void) | undefined

/** Puts what follows in place. To be called once, before job code loads. */
export function hookExit(): void {
  const native = process as unknown as Native
  const { emit, reallyExit } = native
  native.emit = (name, ...args) => {
    if (name === 'beforeExit') nothingLeft?.(Number(args[0]))
    else if (STOPPING.has(name)) toldToStop?.(String(name))
    return emit.call(process, name, ...args)
  }
  native.reallyExit = (code) => (leave ?? reallyExit).call(process, code)
}

/**
 * Calls `then` when the process is about to end because it has nothing to do. No listener, which job code may take
 * away: its job would count as done.
 */
export function whenNothingIsLeft(then: (code: number) => void): void {
  nothingLeft = then
}

/** Calls `then` when such a signal is about to be told to listeners of job code, which may end the process. */
export function whenToldToStop(then: (signal: string) => void): void {
  toldToStop = then
}

/** From now on `process.exit` comes to its end in `exit`. */
export function leaveBy(exit: (code: number) => void): void {
  leave = exit
}

/** Whether anybody is to be told of this process's end. */
export function isExitAwaited(): boolean {
  return process.listenerCount('exit') > 0 || libraries().some(({ count }) => count > 0)
}

/** Takes away whoever waits for this process's end. */
export function forgetExit(): void {
  for (const event of ['beforeExit', 'exit']) process.removeAllListeners(event)
  for (const handlers of libraries()) handlers.clear()
}

/** signal-exit's, from version 4 on and before. */
function libraries(): Handlers[] {
  const found: Handlers[] = []
  const { listeners } = ((globalThis as Record<symbol, unknown>)[Symbol.for('signal-exit emitter')] ?? {}) as {
    listeners?: Readonly<Record<string, unknown>>
  }
  for (const list of Object.values(listeners ?? {}))
    if (Array.isArray(list)) found.push({ count: list.length, clear: () => void (list.length = 0) })
  const { __signal_exit_emitter__: old } = process as { __signal_exit_emitter__?: NodeJS.EventEmitter }
  if (typeof old?.removeAllListeners === 'function')
    for (const event of ['exit', 'afterexit'])
      found.push({ count: old.listenerCount(event), clear: () => void old.removeAllListeners(event) })
  return found
}
