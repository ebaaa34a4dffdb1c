import { createInterface } from 'node:readline/promises'
import { ResQueueError } from '../errors.ts'
import { printable } from './text.ts'

/** Asks a person on the terminal. Throws `USAGE` where there is no terminal, so that a script has to say `--yes`. */
export async function ask(action: string, signal: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new ResQueueError('USAGE', `${action}: nobody can be asked here, so this needs --yes. Nothing was changed`)
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await reader.question(`${printable(action)}? [y/N] `, { signal })
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    reader.close()
  }
}
