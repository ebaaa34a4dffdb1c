/** What Node's timers have beside their documented methods. */
interface Timer extends NodeJS.Timeout {
  readonly _destroyed: boolean
  readonly _idleTimeout: number
  readonly _repeat: number | null
}

/**
 * From now on remembers timers that are told not to keep this process alive, which Node counts nowhere. Returns a
 * function that ends this, and says in words which of them still run. What ran before is not seen.
 */
export function watchUnref(): () => string[] {
  const sample = setTimeout(() => {}, 0)
  clearTimeout(sample)
  const prototype = Object.getPrototypeOf(sample) as Timer
  const { unref } = prototype
  const seen = new Set<Timer>()
  prototype.unref = function remember() {
    seen.add(this)
    return unref.call(this)
  }
  return () => {
    prototype.unref = unref
    return [...seen].filter((timer) => !timer._destroyed && !timer.hasRef()).map(inWords)
  }
}

function inWords({ _idleTimeout: ms, _onTimeout: called, _repeat: repeats }: Timer): string {
  const name = called.name === '' ? '' : ` (${called.name})`
  return `${repeats === null ? 'setTimeout' : 'setInterval'} of ${ms} ms${name}`
}
