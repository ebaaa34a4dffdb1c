import { appendFileSync, existsSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const FOLDER = process.env['NOTES'] ?? '/notes'

/** A line where it starts and one where it ends, on a volume: what was performed is counted outside Redis. */
async function noted(key: string, work: () => Promise<unknown>): Promise<void> {
  const note = (word: string): void => appendFileSync(join(FOLDER, 'notes'), `${word} ${key} ${hostname()}\n`)
  note('start')
  await work()
  note('end')
}

/** Positional arguments, as Ruby and our client's long form have them. */
class Deliver {
  perform(key: string, ms: number): Promise<void> {
    return noted(key, () => delay(ms))
  }
}

/** One object of arguments, as PHP and our client's short form have them. */
class Report {
  readonly args!: { readonly key: string; readonly ms: number }
  perform(): Promise<void> {
    return noted(this.args.key, () => delay(this.args.ms))
  }
}

/** Runs until the file of that name is there, and neither hears TERM nor looks at the signal. */
class Wait {
  perform(key: string, gate: string): Promise<void> {
    process.on('SIGTERM', () => undefined)
    return noted(key, async () => {
      while (!existsSync(join(FOLDER, gate))) await delay(20)
    })
  }
}

/** The names that others give their jobs. */
export const jobs = { 'Mail::Deliver': Deliver, 'App\\Jobs\\Report': Report, Wait }
