import { nextChunk, sizeUp } from '../../queue/entries.ts'
import { failedQueues } from '../../queue/failed.ts'
import { parsePayload } from '../../queue/payload.ts'
import { queueNames } from '../../queue/queues.ts'
import { LAYOUT_VERSION } from '../../queue/registry.ts'
import { overview } from '../../queue/stat.ts'
import { unlessWrongType } from '../../redis/replies.ts'
import { parseEndpoint } from '../../redis/url.ts'
import { count, plural, some } from '../../wording.ts'
import { age } from '../text.ts'
import { answers, quote, type Check, type Finding, type Patient } from './finding.ts'

/**
 * How much is looked at: entries of the failed list, queues, seconds of delayed jobs, elements of each queue, keys of
 * the whole database.
 */
const MOST = { failed: 10_000, queues: 1000, seconds: 1000, elements: 20, keys: 200_000 }
const OVERDUE_S = 60
const LARGE = 100_000

async function types({ store }: Patient): Promise<readonly Finding[]> {
  const { keys } = store
  const expected: readonly (readonly [string, string])[] = [
    [keys.queues, 'set'],
    [keys.workers, 'set'],
    [keys.failed, 'list'],
    [keys.heartbeat, 'hash'],
    [keys.delayedSchedule, 'zset'],
    [keys.stat('processed'), 'string'],
    [keys.stat('failed'), 'string'],
    [keys.processes, 'hash'],
    [keys.quarantine, 'list'],
    [keys.retry, 'zset'],
    [keys.paused, 'string'],
    [keys.meta, 'hash'],
    ...(await listed(store.command('zrange', [keys.delayedSchedule, 0, MOST.seconds - 1]))).map(
      (second) => [keys.delayed(second), 'list'] as const,
    ),
    ...(await listed(queueNames(store))).slice(0, MOST.queues).map((name) => [keys.queue(name), 'list'] as const),
    ...(await listed(failedQueues(store))).slice(0, MOST.queues).map((name) => [keys.failedOf(name), 'list'] as const),
  ]
  const found = await answers(
    store,
    expected.map(([key]) => ['type', key]),
  )
  const wrong = expected.flatMap(([key, type], i) =>
    found[i] === type || found[i] === 'none' ? [] : [`${key} is a ${String(found[i])}, not a ${type}`],
  )
  if (wrong.length === 0) return []
  return [
    {
      id: 'wrong-type',
      level: 'error',
      finding: `Keys hold another type than the Resque protocol says: ${some(wrong)}`,
      advice: 'Another program uses the same keys: choose another --namespace, or move its keys.',
    },
  ]
}

/** What a key lists, or nothing where it holds another type: that is found as such. */
function listed(names: Promise<unknown>): Promise<readonly string[]> {
  return unlessWrongType(names as Promise<readonly string[]>, [])
}

async function layout({ store }: Patient): Promise<readonly Finding[]> {
  const version = Number(await store.command('hget', [store.keys.meta, 'version']))
  if (version <= LAYOUT_VERSION) return []
  return [
    {
      id: 'newer-layout',
      level: 'error',
      finding: `The namespace was written by a newer ResQueue (layout ${version}, this one knows ${LAYOUT_VERSION})`,
      advice: 'Use that version, or another namespace.',
    },
  ]
}

async function lists({ store }: Patient): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  const { quarantinedJobs, failedJobs, pausedAll, pausedQueues } = await overview(store)
  if (quarantinedJobs > 0) {
    findings.push({
      id: 'quarantine',
      level: 'warning',
      finding: `${plural(quarantinedJobs, 'payload')} in quarantine: they cannot be jobs`,
      advice: 'resqueue quarantine ls shows what and why; fix the producer, then release or rm them.',
    })
  }
  if (failedJobs > LARGE) {
    findings.push({
      id: 'large-failed-list',
      level: 'warning',
      finding: `The failed list, with those of single queues, has ${count(failedJobs)} entries, all in memory`,
      advice: 'resqueue failed rm --until 30d --dry-run counts what could go.',
    })
  }
  if (pausedAll)
    findings.push({
      id: 'paused',
      level: 'note',
      finding: 'All workers are paused',
      advice: 'resqueue worker resume --all ends that.',
    })
  if (pausedQueues.length > 0) {
    findings.push({
      id: 'paused',
      level: 'note',
      finding: `Paused: ${some(pausedQueues)}`,
      advice: 'resqueue queue resume QUEUE ends that.',
    })
  }
  return findings
}

async function later({ store }: Patient): Promise<readonly Finding[]> {
  const { keys } = store
  const findings: Finding[] = []
  const [time, delayed, retry] = await answers(store, [
    ['time'],
    ['zrange', keys.delayedSchedule, 0, 0, 'WITHSCORES'],
    ['zrange', keys.retry, 0, 0, 'WITHSCORES'],
  ])
  const now = Number((time as [string])[0])
  let locked = false
  for (const { program, key: lock } of keys.schedulerLocks) {
    const [holder, ttl] = await answers(store, [
      ['get', lock],
      ['pttl', lock],
    ])
    if (typeof holder !== 'string') continue
    locked = true
    const forever = ttl === -1
    findings.push({
      id: 'foreign-scheduler',
      level: forever ? 'warning' : 'note',
      finding: `The scheduler of ${program} (${holder}) ${forever ? 'holds its lock without a time limit' : 'leads'}: delayed jobs are left to it`,
      advice: forever
        ? `If it is not running: redis-cli DEL ${quote(lock)}`
        : "Stop it, and ResQueue's workers move delayed jobs, with their bytes kept.",
    })
  }
  for (const [id, what, reply, unit] of [
    ['delayed-overdue', 'delayed job', delayed, 1],
    ['retry-overdue', 'retry', retry, 1000],
  ] as const) {
    const due = Array.isArray(reply) && reply.length === 2 ? Number(reply[1]) / unit : undefined
    if (due === undefined || !(now - due >= OVERDUE_S)) continue // a score may be infinite
    findings.push({
      id,
      level: 'warning',
      finding: `A ${what} has been due for ${age(now - due)} and nobody moved it`,
      advice:
        locked && unit === 1
          ? 'Look at the foreign scheduler that holds the lock.'
          : 'Any running ResQueue worker of this namespace moves what is due: start one.',
    })
  }
  return findings
}

async function elements({ store, signal }: Patient): Promise<readonly Finding[]> {
  const { keys } = store
  const queues = (await queueNames(store)).slice(0, MOST.queues)
  const bad = new Set<string>()
  for (let at = 0; at < queues.length && !signal.aborted; at += 50) {
    const page = queues.slice(at, at + 50)
    const replies = await store.pipeline(page.map((name) => ['lrange', keys.queue(name), 0, MOST.elements - 1]))
    for (const [i, raws] of replies.entries()) {
      if (Array.isArray(raws) && raws.some((raw) => !parsePayload(String(raw)).ok)) bad.add(page[i] as string)
    }
  }
  if (bad.size === 0) return []
  return [
    {
      id: 'unreadable-jobs',
      level: 'warning',
      finding: `At the head of ${plural(bad.size, 'queue')} stands what cannot be a job: ${some([...bad])}`,
      advice:
        "ResQueue's workers put it into quarantine; a Ruby worker dies of it. resqueue queue peek QUEUE shows it.",
    },
  ]
}

async function failures({ store, signal }: Patient): Promise<readonly Finding[]> {
  const { keys } = store
  const bad: number[] = []
  const sized = await sizeUp(store, 'llen', keys.failed)
  const size = sized.count
  let { chunk } = sized
  for (let at = Math.max(0, size - MOST.failed); at < size && !signal.aborted;) {
    const texts = (await store.command('lrange', [keys.failed, at, at + chunk - 1])) as string[]
    if (texts.length === 0) break
    for (const [i, text] of texts.entries()) if (!isFailure(text)) bad.push(at + i)
    at += texts.length
    chunk = nextChunk(texts)
  }
  if (bad.length === 0) return []
  return [
    {
      id: 'malformed-failures',
      level: 'warning',
      finding: `${plural(bad.length, 'failed entry', 'failed entries')} because of which the Failed page of Resque's dashboard fails: index ${some(bad.map(String))}`,
      advice: `resqueue failed show ${bad[0]}, then resqueue failed rm ${bad[0]}`,
    },
  ]
}

/** php-resque's dequeue moves jobs through such a list; a crash in the middle leaves them there. */
async function leftovers({ store, config, signal }: Patient): Promise<readonly Finding[]> {
  // A scan walks one node; and php-resque does not work on a cluster.
  if (parseEndpoint(config).kind === 'cluster') return []
  const found: string[] = []
  let looked = 0
  let cursor = '0'
  const pattern = `${store.keys.queue('*').replaceAll(/[[\]?\\]/g, '\\$&')}:temp:*`
  do {
    const [next, page] = (await store.command('scan', [cursor, 'MATCH', pattern, 'COUNT', 1000])) as [string, string[]]
    cursor = next
    found.push(...page)
    looked += 1000
  } while (cursor !== '0' && looked < MOST.keys && !signal.aborted)
  if (found.length === 0) return []
  return [
    {
      id: 'stranded-jobs',
      level: 'warning',
      finding: `${plural(found.length, 'list')} left behind by an interrupted dequeue of php-resque, jobs in them: ${some(found)}`,
      advice: 'Look with redis-cli LRANGE, and move what is wanted back with redis-cli LMOVE … RIGHT LEFT.',
    },
  ]
}

/** What the dashboard needs of an entry. */
function isFailure(text: string): boolean {
  try {
    const value = JSON.parse(text) as Record<string, unknown> | null
    const payload: unknown = value?.['payload']
    return (
      typeof payload === 'object' &&
      payload !== null &&
      !Array.isArray(payload) &&
      typeof value?.['failed_at'] === 'string' &&
      typeof value['worker'] === 'string' &&
      Array.isArray(value['backtrace'])
    )
  } catch {
    return false
  }
}

export const dataChecks: readonly Check[] = [
  { name: 'types of keys', run: types },
  { name: 'layout', run: layout },
  { name: 'lists', run: lists },
  { name: 'delayed jobs and retries', run: later },
  { name: 'jobs in queues', run: elements },
  { name: 'failed jobs', run: failures },
  { name: 'leftovers', run: leftovers },
]
