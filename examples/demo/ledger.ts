import { appendFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Where the jobs of the demo find what they work on, and leave what they make. The worker gets it in its environment.
 */
export function workFolder(): string {
  const folder = process.env['DEMO_FOLDER']
  if (folder === undefined) throw new Error('DEMO_FOLDER is not set: these jobs belong to examples/demo/demo.ts')
  return folder
}

/**
 * The last thing that a job of the demo does: it writes its number down, in a file that neither Redis nor the worker
 * knows of. A line is one `write`, so lines of many processes do not mix.
 */
export function performed(no: number): void {
  appendFileSync(join(workFolder(), 'ledger'), `${no}\n`)
}
