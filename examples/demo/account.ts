import type { Verdict } from './audit.ts'
import type { Place } from './place.ts'
import type { Producers } from './producers.ts'
import { bold, count, dim, green, red, say, seconds, tell } from './screen.ts'
import type { DemoWorker } from './worker.ts'

/** Says how it went beside the table, and returns whether it went as it must. */
export async function account(
  { redis, namespace }: Place,
  { tracked }: Producers,
  verdicts: readonly Verdict[],
  rate: { readonly calm: number; readonly ms: number },
  worker: DemoWorker,
): Promise<boolean> {
  const sum = (of: (v: Verdict) => number): number => verdicts.reduce((all, v) => all + of(v), 0)
  const total = sum((v) => v.enqueued)
  const lost = sum((v) => v.lost)
  const wrong = sum((v) => v.wrong.length)
  const twice = sum((v) => v.twice)
  const statuses = await redis.mget(tracked.map((id) => `${namespace}:job:${id}:status`))
  const complete = statuses.filter((text) => text?.includes('"status":4')).length
  const [processed, failed] = (await redis.mget(`${namespace}:stat:processed`, `${namespace}:stat:failed`)).map(Number)
  // Every attempt that ended counts once: all jobs but the quarantined one, and the one that was retried once more.
  const counted = processed === total - sum((v) => v.counts.quarantined) + 1

  tell(
    'Twice',
    `${twice === 0 ? 'no job was' : `${count(twice)} jobs were`} performed to the end twice, which a crash may cause (at least once)`,
  )
  tell(
    'Statistics',
    `in Redis: ${count(processed ?? 0)} attempts processed, ${count(failed ?? 0)} of them failed, one of which was retried`,
  )
  tell('Statuses', `of ${count(tracked.length)} jobs that php-resque tracks ${count(complete)} are complete`)
  tell('Rate', `${count(Math.round(rate.calm))} jobs/s until the kill, a ${worker.isolation}ed process for each`)
  tell('Time', `${seconds(rate.ms)}, with the kill, the recovery and the waiting`)

  const good = lost === 0 && wrong === 0 && counted && complete === tracked.length
  if (good) {
    say(`\n${green(bold(`All ${count(total)} jobs are accounted for: none lost, every outcome as expected.`))}\n`)
  } else {
    const sums = counted ? '' : ', the statistics do not add up'
    say(`\n${red(bold(`${count(lost)} lost, ${count(wrong)} not as expected${sums}.`))}\n\n${dim(worker.tail())}\n`)
  }
  return good
}
