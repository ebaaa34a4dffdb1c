import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'

/** How many of the last lines are kept. */
const KEPT = 30

/** What a process writes, line by line. */
export interface Output {
  /** The last lines. */
  tail(): string
  /** The first line that matches, of those kept and those to come. */
  line(pattern: RegExp): Promise<RegExpExecArray>
  /** Nothing more will come. */
  fail(error: Error): void
}

export function readOutput(child: ChildProcess): Output {
  const kept: string[] = []
  const waiting = new Map<RegExp, PromiseWithResolvers<RegExpExecArray>>()
  const offer = (line: string): void => {
    for (const [pattern, { resolve }] of waiting) {
      const match = pattern.exec(line)
      if (!match) continue
      waiting.delete(pattern)
      resolve(match)
    }
  }
  for (const input of [child.stdout, child.stderr]) {
    if (!input) continue
    createInterface({ input }).on('line', (line) => {
      kept.push(line)
      if (kept.length > KEPT) kept.shift()
      offer(line)
    })
  }
  return {
    tail: () => kept.join('\n'),
    line: (pattern) => {
      const found = Promise.withResolvers<RegExpExecArray>()
      waiting.set(pattern, found)
      kept.forEach(offer)
      return found.promise
    },
    fail: (error) => {
      for (const { reject } of waiting.values()) reject(error)
    },
  }
}
