import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ended, judge, look, type Findings, type Verdict } from './audit.ts'
import { makeMaterial } from './material.ts'
import { openPlace, type Place } from './place.ts'
import { plan, PRODUCERS, type Planned } from './plan.ts'
import { openProducers, type Producers } from './producers.ts'
import { bold, count, dim, green, progress, red, say, seconds, table, tell } from './screen.ts'
import { openShop, type Shop } from './shop.ts'
import { SLOTS, startWorker, type DemoWorker } from './worker.ts'

export interface DemoOptions {
  readonly jobs: number
  /** Undefined: a private server. */
  readonly url: string | undefined
  /** End by itself, instead of staying up until Ctrl-C. */
  readonly leave: boolean
}

/** How long nothing may move before the demo gives up, and how long when no job is left that could. Milliseconds. */
const STALLED_MS = 40_000
const EMPTY_MS = 5000

/** Runs the demo and returns its exit code. Rejects when `signal` aborts before the account. */
export async function runDemo({ jobs: total, url, leave }: DemoOptions, signal: AbortSignal): Promise<number> {
  await using undo = new AsyncDisposableStack()
  const place = undo.use(await openPlace(url))
  const shop = undo.use(await openShop())
  say(`\n${bold('ResQueue demo')}: ${count(total)} jobs from four kinds of producers, one worker with four slots\n`)
  tell(
    'Redis',
    `${display(place.url)}, ${place.own ? 'a private server' : `in namespace ${place.namespace}`} that is removed afterwards`,
  )
  const material = join(place.folder, 'material')
  await mkdir(material)
  const all = plan(total, SLOTS, { material: await makeMaterial(material), shop: shop.url })
  const backlog = all.slice(0, -SLOTS)
  const downloads = all.slice(-SLOTS)
  const producers = undo.use(await openProducers(place))
  await enqueueAll(producers, backlog)

  const first = undo.use(await startWorker(place, 'worker-1'))
  introduce(first)
  const began = performance.now()
  const calm = ended(await watch(place, all, signal, (findings) => ended(findings) >= 0.4 * total))
  const calmMs = performance.now() - began
  const second = await killInTheMiddle(place, shop, producers, downloads, first, signal)
  undo.use(second)
  const findings = await watch(place, all, signal, (now) => ended(now) === total && now.inRedis.size === 0)
  const rate = { calm: (1000 * calm) / calmMs, ms: performance.now() - began }

  const verdicts = judge(all, findings)
  say(`\n${bold('What became of every job')}\n\n${table(verdicts)}\n`)
  const good = await account(place, producers, verdicts, rate, second)
  if (!leave && !signal.aborted) await stayUp(place, second, signal)
  return good ? 0 : 1
}

async function enqueueAll(producers: Producers, backlog: readonly Planned[]): Promise<void> {
  const began = performance.now()
  // In portions, so that the producers' jobs stand mixed in the queue.
  for (let i = 0; i < backlog.length; i += 100) {
    const portion = backlog.slice(i, i + 100)
    await Promise.all(
      PRODUCERS.map((producer) =>
        producers[producer](
          'default',
          portion.filter(({ kind }) => kind.producer === producer),
        ),
      ),
    )
  }
  const by = PRODUCERS.map(
    (producer) => `${count(backlog.filter(({ kind }) => kind.producer === producer).length)} by ${producer}`,
  )
  tell('Enqueued', `${count(backlog.length)} jobs in ${seconds(performance.now() - began)}: ${by.join(', ')}`)
}

/** Gives the worker jobs that take seconds, kills it while it has them in its hands, and starts another one. */
async function killInTheMiddle(
  place: Place,
  shop: Shop,
  producers: Producers,
  downloads: readonly Planned[],
  first: DemoWorker,
  signal: AbortSignal,
): Promise<DemoWorker> {
  await producers['our client']('critical', downloads)
  await until(() => shop.downloading === downloads.length, 'for the downloads to begin', signal)
  await sleep(200)
  await first.kill()
  const killed = performance.now()
  await until(() => shop.downloading === 0, "for the dead worker's jobs to end", signal)
  tell('Killed', `worker ${first.pid} by kill -9 with ${shop.cutOff} jobs in its hands; their processes died with it`)
  const second = await startWorker(place, 'worker-2')
  introduce(second)
  await until(() => shop.downloading === downloads.length, "for the dead worker's jobs to begin again", signal)
  tell('Recovered', `all ${downloads.length} run again ${seconds(performance.now() - killed)} after the kill`)
  return second
}

/** Shows progress until `enough` of what is found. Gives up, returning what is found, when nothing moves any more. */
async function watch(
  place: Place,
  all: readonly Planned[],
  signal: AbortSignal,
  enough: (findings: Findings) => boolean,
): Promise<Findings> {
  const began = performance.now()
  let moved = began
  let last = ''
  let done = -1
  for (;;) {
    const findings = await look(place)
    const now = ended(findings)
    const state = `${now} ${findings.inRedis.size}`
    if (state !== last) moved = performance.now()
    last = state
    if (now !== done)
      progress(now, all.length, `${findings.failed.size} failed as they should, ${count(findings.inRedis.size)} to go`)
    done = now
    if (enough(findings)) return findings
    const patience = findings.inRedis.size === 0 ? EMPTY_MS : STALLED_MS
    if (performance.now() - moved > patience) {
      tell('Stalled', red(`nothing has moved for ${seconds(patience)}`))
      return findings
    }
    await sleep(Math.max(200, all.length / 10), undefined, { signal })
  }
}

/** Says how it went, and whether it went as it must. */
async function account(
  place: Place,
  producers: Producers,
  verdicts: readonly Verdict[],
  rate: { calm: number; ms: number },
  worker: DemoWorker,
): Promise<boolean> {
  const { redis, namespace } = place
  const total = verdicts.reduce((sum, v) => sum + v.enqueued, 0)
  const lost = verdicts.reduce((sum, v) => sum + v.lost, 0)
  const twice = verdicts.reduce((sum, v) => sum + v.twice, 0)
  const wrong = verdicts.flatMap((v) => v.wrong)
  const statuses = await redis.mget(producers.tracked.map((id) => `${namespace}:job:${id}:status`))
  const complete = statuses.filter((text) => text?.includes('"status":4')).length
  const [processed, failed] = await redis.mget(`${namespace}:stat:processed`, `${namespace}:stat:failed`)
  const quarantined = verdicts.reduce((sum, v) => sum + v.counts.quarantined, 0)
  // Every attempt that ended counts once: all jobs but the quarantined, and the one that was retried once more.
  const counted = Number(processed) === total - quarantined + 1
  tell(
    'Twice',
    `${twice === 0 ? 'no job was' : `${count(twice)} jobs were`} performed to the end twice; after a crash that may happen (at least once)`,
  )
  tell(
    'Statistics',
    `Redis counts ${count(Number(processed))} processed, ${count(Number(failed))} failed (one of them retried); ${complete} of ${producers.tracked.length} php-resque statuses are complete`,
  )
  tell(
    'Rate',
    `${count(Math.round(rate.calm))} jobs/s until the kill, a ${worker.isolation}ed process for each; ${seconds(rate.ms)} in all, with the kill and the waiting`,
  )
  const good = lost === 0 && wrong.length === 0 && counted && complete === producers.tracked.length
  if (good)
    say(`\n${green(bold(`All ${count(total)} jobs are accounted for: none lost, every outcome as expected.`))}\n`)
  else
    say(
      `\n${red(bold(`${count(lost)} lost, ${count(wrong.length)} not as expected${counted ? '' : ', statistics do not add up'}.`))}\n\n${dim(worker.tail())}\n`,
    )
  return good
}

async function stayUp({ url, namespace }: Place, { port }: DemoWorker, signal: AbortSignal): Promise<void> {
  tell('Health', `http://127.0.0.1:${port}/healthz?verbose`)
  tell('Metrics', `http://127.0.0.1:${port}/metrics`)
  tell('Look', `node_modules/.bin/node dist/bin.js failed ls --redis ${display(url)} --namespace ${namespace}`)
  say(dim('\n  The worker stays up. Ctrl-C ends it and removes everything.'))
  await sleep(2 ** 31 - 1, undefined, { signal }).catch(() => undefined)
}

function introduce({ pid, port, isolation }: DemoWorker): void {
  tell('Worker', `pid ${pid}, ${SLOTS} slots, isolation ${isolation}, http://127.0.0.1:${port}`)
}

async function until(condition: () => boolean, what: string, signal: AbortSignal): Promise<void> {
  const since = performance.now()
  while (!condition()) {
    if (performance.now() - since > STALLED_MS) throw new Error(`${what}: waited ${seconds(STALLED_MS)} in vain`)
    await sleep(20, undefined, { signal })
  }
}

function display(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//***@')
}
