import { count } from '../wording.ts'

/** How far long work has come, on a terminal; silent elsewhere. */
export interface Progress {
  update(done: number, total?: number): void
  /** Removes the line. */
  end(): void
}

const EVERY_MS = 100
const BAR = 24

export function createProgress(what: string, stream: NodeJS.WriteStream): Progress {
  if (!stream.isTTY) return { update: () => undefined, end: () => undefined }
  let shown = 0
  let drawn = false
  return {
    update(done, total) {
      const now = performance.now()
      if (now - shown < EVERY_MS && done !== total) return
      shown = now
      drawn = true
      const share = total ? Math.min(done / total, 1) : 0
      const bar = total ? ` [${'#'.repeat(Math.round(share * BAR)).padEnd(BAR, '.')}] ${Math.floor(share * 100)}%` : ''
      stream.write(`\r\u001b[K${what}: ${count(done)}${total ? ` of ${count(total)}` : ''}${bar}`)
    },
    end() {
      if (drawn) stream.write('\r\u001b[K')
      drawn = false
    },
  }
}
