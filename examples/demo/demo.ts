/**
 * The demo: `make demo`. A backlog of real work, enqueued by four kinds of producers, worked by one worker with four
 * slots; troublemakers among the jobs; a worker that is killed in the middle; and an account of every job at the end.
 * Environment: DEMO_JOBS (1000), REDIS_URL (a private server), CI (ends by itself, with 0 or 1).
 */
import { runDemo } from './run.ts'
import { red, say } from './screen.ts'

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort())

try {
  process.exitCode = await runDemo(
    {
      jobs: jobsFrom(process.env['DEMO_JOBS']),
      url: process.env['REDIS_URL'],
      leave: !/^(|0|false)$/.test(process.env['CI'] ?? ''),
    },
    stop.signal,
  )
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error)
  say(stop.signal.aborted ? 'Ended; everything is removed.' : red(`demo: ${reason}`))
  process.exitCode = stop.signal.aborted ? 130 : 1
}

function jobsFrom(text: string | undefined): number {
  const jobs = text ? Number(text) : 1000
  if (!Number.isInteger(jobs) || jobs < 50 || jobs > 1_000_000)
    throw new Error(`DEMO_JOBS must be between 50 and 1000000, not ${text}`)
  return jobs
}
