/**
 * `make soak`: many forked jobs in a row, then a long time of random kills, stops and lost replies, counted outside
 * Redis. Prints a report and exits with 1 where a job was lost, a byte changed, an end was counted twice, a process was
 * left behind or a worker grew.
 *
 * SOAK_JOBS (100000), SOAK_MINUTES (60) and SOAK_SEED say how many, how long and which.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { chance, weather } from '../test/support/chance.ts'
import { expectKept, job, startLedger, type Ledger, type Sent } from '../test/support/ledger.ts'
import { zombies } from '../test/support/proc.ts'
import { startProxy } from '../test/support/proxy.ts'
import { startRedis, type RedisServer } from '../test/support/redis.ts'
import { accountAtRest } from '../test/support/rest.ts'
import { closeScope } from '../test/support/scope.ts'
import { startSender, type Sender } from '../test/support/sender.ts'
import { waitFor } from '../test/support/wait.ts'
import { startWorkerProcess, type Worker, type WorkerSetup } from '../test/support/workers.ts'

const JOBS = Number(process.env['SOAK_JOBS'] ?? 100_000)
const MINUTES = Number(process.env['SOAK_MINUTES'] ?? 60)
const random = chance(Number(process.env['SOAK_SEED'] ?? Math.floor(Math.random() * 2 ** 31)))

const NS = 'soak'
const HOUR = 3_600_000
/** So many jobs settle a worker's heap; after them it may grow by a tenth. */
const SETTLING = 20_000
const GROWTH = 1.1

const problems: string[] = []
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const check = (good: boolean, problem: string): void => {
  if (!good) problems.push(problem)
}

/** Memory that is a process's own, in MB. */
function memoryOf(pid: number): number {
  const kB = /^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
  return Number(kB) / 1024
}

/** One worker forks a process for each of many jobs. */
async function manyForks(): Promise<void> {
  say(`${JOBS} forked jobs`)
  const server = await startRedis()
  const redis = server.client()
  const ledger = startLedger()
  const sender = startSender(server.url, NS)
  const worker = await startWorkerProcess({ redis: server.url, ns: NS, ledger, isolation: 'fork', concurrency: 4 })
  const began = performance.now()
  const done = async (): Promise<number> => Number(await redis.get(`${NS}:stat:processed`))
  let settled = 0
  let most = 0
  for (let sent = 0; sent < JOBS;) {
    const size = Math.min(1000, JOBS - sent)
    await sender.send(...Array.from({ length: size }, () => job('q', 'Note', [0])))
    sent += size
    await waitFor(async () => (await done()) > sent - 1500, { timeoutMs: HOUR, everyMs: 100 })
    most = Math.max(most, zombies(worker.pid).length)
    if (settled === 0 && sent >= SETTLING) settled = memoryOf(worker.pid)
    if (sent % Math.ceil(JOBS / 10) < 1000) say(`  ${sent} sent, ${memoryOf(worker.pid).toFixed(1)} MB`)
  }
  await waitFor(async () => (await done()) === JOBS, { timeoutMs: HOUR, everyMs: 100 })
  const seconds = (performance.now() - began) / 1000
  const memory = memoryOf(worker.pid)
  await audit(server, ledger, [sender])
  const before = settled > 0 ? `${settled.toFixed(1)} MB after ${SETTLING} jobs, ` : ''
  say(`  ${(JOBS / seconds).toFixed(0)} jobs/s, worker ${before}${memory.toFixed(1)} MB at the end`)
  check(
    JOBS < 2 * SETTLING || memory <= settled * GROWTH,
    `the worker grew from ${settled.toFixed(1)} to ${memory.toFixed(1)} MB`,
  )
  check(most <= 8, `${most} zombies were seen at once`) // four slots and four children that wait
  check(ledger.of('end').length === JOBS, `${ledger.of('end').length} runs for ${JOBS} jobs`)
  await leave([worker])
  await closeScope()
}

/** Two workers, and everything that can be done to them and to Redis. */
async function randomKills(): Promise<void> {
  say(`${MINUTES} minutes of random kills, seed ${random.seed}`)
  const server = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const proxy = await startProxy(server)
  const ledger = startLedger()
  const setup: WorkerSetup = {
    redis: proxy.url,
    ns: NS,
    ledger,
    isolation: 'fork',
    concurrency: 3,
    args: ['--max-recoveries', '100000'],
  }
  const workers = [await startWorkerProcess(setup), await startWorkerProcess(setup)]
  const senders = [startSender(server.url, NS), startSender(proxy.url, NS)]
  const until = performance.now() + MINUTES * 60_000
  const counts: Record<string, number> = {}
  let sending = true
  const load = Promise.all(senders.map((sender) => sendSteadily(sender, () => sending)))
  proxy.decide = weather(random, 0.01)

  const events: Record<string, () => Promise<void>> = {
    'killed worker': async () => {
      const at = random.between(0, workers.length - 1)
      await workers[at]?.process.kill()
      workers[at] = await startWorkerProcess(setup)
    },
    'stopped worker': async () => {
      const worker = random.pick(workers)
      worker.process.pause()
      await delay(random.between(1000, 20_000))
      worker.process.resume()
    },
    'killed zygote': async () => killOne(random.pick(workers), true),
    'killed job': async () => killOne(random.pick(workers), false),
    'killed Redis': async () => {
      await server.kill()
      await server.restart()
    },
    'stopped Redis': async () => {
      server.pause()
      await delay(random.between(500, 13_000))
      server.resume()
    },
  }
  while (performance.now() < until) {
    await delay(random.between(200, 4000))
    const [name, happen] = random.pick(Object.entries(events))
    await happen()
    counts[name] = (counts[name] ?? 0) + 1
  }
  sending = false
  await load
  proxy.decide = undefined
  await audit(server, ledger, senders)
  for (const [name, count] of Object.entries(counts)) say(`  ${name}: ${count}`)
  await leave(workers)
  await closeScope()
}

async function sendSteadily(sender: Sender, going: () => boolean): Promise<void> {
  while (going()) {
    const some = Array.from({ length: random.between(1, 10) }, (): Sent => {
      return job('q', random.next() < 0.1 ? 'Fail' : 'Note', [random.between(0, 200)])
    })
    await sender.send(...some)
    await delay(random.between(50, 500))
  }
}

function killOne(worker: Worker, zygote: boolean): void {
  const family = worker.family().filter(({ state }) => state !== 'Z')
  const children = family.filter(({ ppid }) => ppid === worker.pid)
  const victims = zygote ? children : family.filter((one) => !children.includes(one))
  if (victims.length === 0) return
  try {
    process.kill(random.pick(victims).pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Waits for rest and compares what was sent with what became of it. */
async function audit(server: RedisServer, ledger: Ledger, senders: readonly Sender[]): Promise<void> {
  const redis = server.client()
  // To take account of a long queue is work, and what the workers say goes through this process.
  await waitFor(async () => (await redis.llen(`${NS}:queue:q`)) === 0, { timeoutMs: HOUR, everyMs: 500 })
  const account = await accountAtRest(redis, NS, ledger, HOUR)
  const acknowledged = senders.flatMap((sender) => sender.acknowledged)
  try {
    expectKept(acknowledged, account, ledger)
  } catch (error) {
    problems.push((error as Error).message)
  }
  const gone = new Set([...account.performed.keys(), ...account.failed.keys()])
  const refused = senders.flatMap((sender) => sender.refused).filter(({ id }) => gone.has(id))
  const counted = Number(await redis.get(`${NS}:stat:processed`))
  const repeated = [...account.performed.values()].reduce((sum, times) => sum + times - 1, 0)
  check(refused.length === 0, `${refused.length} jobs were refused and performed all the same`)
  check(counted === gone.size, `${counted} ends were counted for ${gone.size} jobs`)
  say(
    `  ${acknowledged.length} acknowledged, ${account.performed.size} performed, ${account.failed.size} failed, ${repeated} repeated runs`,
  )
}

async function leave(workers: readonly Worker[]): Promise<void> {
  for (const worker of workers) {
    const { code } = await worker.stop(60_000)
    check(code === 0, `a worker ended with ${code}`)
  }
}

if (JOBS > 0) await manyForks()
if (MINUTES > 0) await randomKills()
for (const problem of problems) say(`problem: ${problem}`)
say(problems.length === 0 ? 'nothing was lost' : `${problems.length} problems`)
process.exit(problems.length === 0 ? 0 : 1)
