import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { account } from './account.ts'
import { ended, judge } from './audit.ts'
import { makeMaterial } from './material.ts'
import { openPlace, type Place } from './place.ts'
import { plan, PRODUCERS, type Planned } from './plan.ts'
import { openProducers, type Producers } from './producers.ts'
import { bold, count, dim, say, seconds, table, tell } from './screen.ts'
import { openShop } from './shop.ts'
import { until, watch } from './watch.ts'
import { SLOTS, startWorker, type DemoWorker } from './worker.ts'

export interface DemoOptions {
  readonly jobs: number
  /** Undefined or empty: a private server. */
  readonly url: string | undefined
  /** End by itself, instead of staying up until Ctrl-C. */
  readonly leave: boolean
}

/** Runs the demo and returns its exit code. Rejects when `signal` aborts before the account. */
export async function runDemo({ jobs: total, url, leave }: DemoOptions, signal: AbortSignal): Promise<number> {
  await using undo = new AsyncDisposableStack()
  const place = undo.use(await openPlace(url))
  const shop = undo.use(await openShop(SLOTS))
  say(`\n${bold('ResQueue demo')}: ${count(total)} jobs from four kinds of producers, one worker with four slots\n`)
  tell(
    'Redis',
    `${display(place.url)}, ${place.own ? 'a private server' : `namespace ${place.namespace}`}, removed afterwards`,
  )
  const material = join(place.folder, 'material')
  await mkdir(material)
  const all = plan(total, SLOTS, { material: await makeMaterial(material), shop: shop.url })
  const producers = undo.use(await openProducers(place))
  await enqueueAll(producers, all.slice(0, -SLOTS))

  const first = undo.use(await startWorker(place, 'worker-1'))
  introduce(first)
  const began = performance.now()
  const calm = ended(await watch(place, total, signal, (findings) => ended(findings) >= 0.4 * total))
  const calmMs = performance.now() - began

  // Jobs that take seconds fill all slots, and then the worker is gone.
  await producers['our client']('critical', all.slice(-SLOTS))
  await until(() => shop.downloading === SLOTS, 'for the downloads to begin', signal)
  await first.kill()
  const killed = performance.now()
  await until(() => shop.downloading === 0, 'for the processes of the killed worker to end', signal)
  tell('Killed', `worker ${first.pid} by kill -9 with ${shop.cutOff} jobs in its hands; their processes died with it`)
  const second = undo.use(await startWorker(place, 'worker-2'))
  introduce(second)
  await until(() => shop.downloading === SLOTS, 'for the jobs of the killed worker to begin again', signal)
  tell('Recovered', `all ${SLOTS} run again ${seconds(performance.now() - killed)} after the kill`)

  const findings = await watch(place, total, signal, (now) => ended(now) === total && now.inRedis.size === 0)
  const rate = { calm: (1000 * calm) / calmMs, ms: performance.now() - began }
  const verdicts = judge(all, findings)
  say(`\n${bold('What became of every job')}\n\n${table(verdicts)}\n`)
  const good = await account(place, producers, verdicts, rate, second)
  if (!leave) await stayUp(place, second, signal)
  return good ? 0 : 1
}

async function enqueueAll(producers: Producers, backlog: readonly Planned[]): Promise<void> {
  const began = performance.now()
  const of = (producer: string, jobs: readonly Planned[]): Planned[] =>
    jobs.filter(({ kind }) => kind.producer === producer)
  // In portions, so that the producers' jobs stand mixed in the queue.
  for (let i = 0; i < backlog.length; i += 100) {
    const portion = backlog.slice(i, i + 100)
    await Promise.all(PRODUCERS.map((producer) => producers[producer]('default', of(producer, portion))))
  }
  const shares = PRODUCERS.map((producer) => `${count(of(producer, backlog).length)} by ${producer}`)
  tell('Enqueued', `${count(backlog.length)} jobs in ${seconds(performance.now() - began)}: ${shares.join(', ')}`)
}

function introduce({ pid, port, isolation }: DemoWorker): void {
  tell('Worker', `pid ${pid}, ${SLOTS} slots, isolation ${isolation}, http://127.0.0.1:${port}`)
}

async function stayUp({ url, namespace }: Place, { port }: DemoWorker, signal: AbortSignal): Promise<void> {
  tell('Health', `http://127.0.0.1:${port}/healthz?verbose`)
  tell('Metrics', `http://127.0.0.1:${port}/metrics`)
  tell('Look', `node_modules/.bin/node dist/bin.js failed ls --redis ${display(url)} --namespace ${namespace}`)
  say(dim('\n  The worker stays up. Ctrl-C ends it and removes everything.'))
  await sleep(2 ** 31 - 1, undefined, { signal }).catch(() => undefined)
}

function display(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//***@')
}
