type Output = NodeJS.WriteStream & { _handle?: { setBlocking?(on: boolean): void } }

/**
 * Makes what job code writes to stdout and stderr reach its pipe before the write returns, so that nothing is lost when
 * the process leaves without a teardown. The streams are still made on first use: they cost a tenth of a boot.
 */
export function blockOnOutput(): void {
  for (const name of ['stdout', 'stderr'] as const) {
    const make = Object.getOwnPropertyDescriptor(process, name)?.get
    if (!make) continue
    let stream: Output | undefined
    const get = (): Output => {
      if (stream) return stream
      stream = make.call(process) as Output
      stream._handle?.setBlocking?.(true)
      return stream
    }
    Object.defineProperty(process, name, { get, configurable: true, enumerable: true })
  }
}
