import { TITLE } from './entry.ts'

/** What `ps` shows of a worker (R56): `resque-<version> (<queues>): <state>`. */
export interface Title {
  starting(): void
  /** How many jobs run, and whether more may be taken. `now`: ms since the epoch. */
  working(running: number, takes: boolean, now: number): void
}

/** `label`: the worker's queues as it was given them. */
export function createTitle(label: string): Title {
  const show = (state: string): void => {
    process.title = `${TITLE} (${label}): ${state}`
  }
  return {
    starting: () => show('Starting'),
    working: (running, takes, now) => {
      if (running > 0) show(`Processing ${running} since ${new Date(now).toISOString()}`)
      else show(takes ? 'Waiting for jobs' : 'Paused')
    },
  }
}
