import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Line } from '../support/bench.ts'
import { median, short } from '../support/numbers.ts'
import { atMost, type Row } from '../support/rows.ts'
import { clearStarts, startsUntil } from '../support/starts.ts'
import { startProducer, startWorker, TITLES, type PeerName, type WorkerPlan } from '../support/workers.ts'

const JOBS = 10
/** Who has not brought a job back by then has lost it, for the purpose of this table. Milliseconds. */
const CAP_MS = 120_000

interface Crash {
  /** Jobs that no worker began again. */
  readonly lost: number
  /** Seconds from the kill until the last of the others began again. NaN where none did. */
  readonly back: number
}

interface Candidate {
  readonly title: string
  readonly peer: PeerName
  readonly plan: Partial<WorkerPlan>
  /** A second worker stands by, or the killed one is started again at once. */
  readonly rescuer: 'standing by' | 'started again'
}

/** Kills a worker that runs ten jobs with SIGKILL, and waits until another has begun them all. */
async function crash({ redis, dir, say }: Bench, { title, peer, plan, rescuer }: Candidate): Promise<Crash> {
  const starts = join(dir, `starts-${peer}`)
  clearStarts(starts)
  {
    await using producer = startProducer(peer, redis.port)
    await producer.call('fill', JOBS)
  }
  const rescue: WorkerPlan = { concurrency: JOBS, does: 'note', starts, ...plan }
  await using victim = await startWorker(peer, redis.port, { ...rescue, does: 'hang' })
  const begun = await startsUntil(starts, (all) => all.length >= JOBS, 30_000)
  if (begun.length !== JOBS) throw new Error(`${title} began ${begun.length} of ${JOBS} jobs`)
  await using standing = rescuer === 'standing by' ? await startWorker(peer, redis.port, rescue) : undefined
  await sleep(standing ? 5000 : 1000)
  const killed = process.hrtime.bigint()
  await victim.kill('SIGKILL')
  await using _successor = standing ? undefined : await startWorker(peer, redis.port, rescue)
  const again = (
    await startsUntil(starts, (all) => new Set(all.slice(JOBS).map(({ id }) => id)).size >= JOBS, CAP_MS)
  ).slice(JOBS)
  const lost = JOBS - new Set(again.map(({ id }) => id)).size
  const back =
    again.length === 0 ? Number.NaN : Number(again.reduce((last, { at }) => (at > last ? at : last), 0n) - killed) / 1e9
  say(`${title}: ${lost} of ${JOBS} lost, back after ${short(back)} s`)
  return { lost, back }
}

const OURS: readonly Candidate[] = [
  {
    title: 'ResQueue, another worker',
    peer: 'resqueue',
    plan: { sandbox: 'fresh', isolation: 'fork' },
    rescuer: 'standing by',
  },
  {
    title: 'ResQueue, same container',
    peer: 'resqueue',
    plan: {
      sandbox: 'fresh',
      isolation: 'fork',
      env: { POD_NAME: 'bench-0', POD_NAMESPACE: 'bench', POD_UID: '8a7c5a1e-0000', CONTAINER_NAME: 'worker' },
    },
    rescuer: 'started again',
  },
]
const PEERS: readonly Candidate[] = (['bullmq', 'bee-queue', 'node-resque'] as const).map((peer) => ({
  title: TITLES[peer],
  peer,
  plan: {},
  rescuer: 'standing by',
}))

async function inTurn(bench: Bench, candidates: readonly Candidate[]): Promise<Crash[]> {
  const crashes: Crash[] = []
  for (const candidate of candidates) crashes.push(await crash(bench, candidate))
  return crashes
}

export const t7: Line = {
  id: 'T7',
  title: 'A worker is killed',
  method: `A worker that runs ${JOBS} jobs is killed with SIGKILL; from then until the last of them has begun in another worker that stood by, all defaults. What has not begun again after ${CAP_MS / 1000} s counts as lost. "Same container": the same worker is started again at once, with the POD_UID and CONTAINER_NAME of the killed one; the time holds its start. The systems wait side by side on the same Redis.`,
  measure: async (bench) => {
    const ours: Crash[][] = []
    const theirs: Crash[][] = []
    for (let round = 0; round < bench.rounds; round++) {
      await bench.redis.flush()
      const [mine, ...others] = await Promise.all([inTurn(bench, OURS), ...PEERS.map((peer) => crash(bench, peer))])
      ours.push(mine)
      theirs.push(others)
    }
    const told = (crashes: readonly Crash[]): string =>
      `${Math.max(...crashes.map(({ lost }) => lost))} · ${short(median(crashes.map(({ back }) => back)))} s`
    const row = (figure: string, at: number, limits: { must: number; aim?: number }): Row => {
      const crashes = ours.map((round) => round[at] as Crash)
      return {
        line: 'T7',
        figure,
        ours: told(crashes),
        peers:
          at > 0
            ? {}
            : Object.fromEntries(PEERS.map(({ title }, i) => [title, told(theirs.map((round) => round[i] as Crash))])),
        checks: [
          atMost('lost', Math.max(...crashes.map(({ lost }) => lost)), { must: 0 }),
          atMost('s', median(crashes.map(({ back }) => back)), limits),
        ],
      }
    }
    return [
      row('kill -9 with 10 running: lost · back after', 0, { must: 15, aim: 12 }),
      row('the same, container restarted', 1, { must: 1 }),
    ]
  },
}
