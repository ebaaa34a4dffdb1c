import { loadAddon } from './addon.ts'

/**
 * Ends this process, whose work is done, after `ms` at the latest, with the exit code that is set by then, whatever is
 * left of it: code of the operator's, or a look-up of a name. Listeners of `exit` are called. Where the addon is
 * missing, a look-up that hangs is waited for.
 */
export function endWithin(ms: number): void {
  setTimeout(() => {
    // The last of them: Node's own teardown waits for its helper threads, and one that looks up a name may take
    // minutes.
    process.once('exit', (code) => {
      const found = loadAddon()
      if ('addon' in found) found.addon.exit(code)
    })
    process.exit()
  }, ms).unref()
}
