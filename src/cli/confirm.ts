import { createInterface } from 'node:readline/promises'
import { ResQueueError } from '../errors.ts'
import { printable } from '../printable.ts'

/** Asks a person on the terminal. Throws `USAGE` where there is no terminal, so that a script has to say `--yes`. */
export async function ask(action: string, signal: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new ResQueueError('USAGE', `${action}: nobody can be asked here, so this needs --yes. Nothing was changed`)
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr })
  try {
    // Ctrl-C and Ctrl-D are a no.
    const closed = new Promise<string>((resolve) => reader.once('close', () => resolve('')))
    const answer = reader.question(`${printable(action)}? [y/N] `, { signal }).catch(() => '')
    const given = await Promise.race([answer, closed])
    if (given === '') process.stderr.write('\n')
    return /^y(es)?$/i.test(given.trim())
  } finally {
    reader.close()
  }
}
