import { appendFileSync } from 'node:fs'

/** Adds a JSON line to the file that WIRE_RECORD names: how jobs and hooks tell a test what they saw, in whichever process they run. */
export function record(what: object): void {
  appendFileSync(process.env['WIRE_RECORD'] as string, `${JSON.stringify(what)}\n`)
}
