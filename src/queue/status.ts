import { familyJson, isObject } from '../json.ts'
import { statusName } from '../redis/keys.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Store } from '../redis/store.ts'
import type { Call } from './session.ts'

const statusScript = loadScript('status_update')

/** php-resque's states of a tracked job, by code. */
const STATES = { 1: 'waiting', 2: 'running', 3: 'failed', 4: 'complete' } as const

/** 1 waiting, 2 running, 3 failed, 4 complete. */
export type StatusCode = keyof typeof STATES
export type JobState = (typeof STATES)[StatusCode]

/** A status as it stood at one instant. */
export interface StatusSnapshot {
  readonly code: StatusCode
  readonly state: JobState
  /** When the status changed last. */
  readonly updated: Date | undefined
  /** When the job was enqueued (the family's name for it). */
  readonly started: Date | undefined
  /** What perform returned, once complete; false where the job was skipped (R44). */
  readonly result: unknown
}

/** A status that is read again at every call, except that one seen as not tracked is not asked for again (R57). */
export interface JobStatus {
  readonly id: string
  isTracking(): Promise<boolean>
  /**
   * The whole status, or false for a job that is not tracked (any more: complete and failed expire after a day, R58).
   */
  get(): Promise<StatusSnapshot | false>
  /** One field of it (R59). */
  status(): Promise<StatusCode | false>
  updated(): Promise<Date | false>
  started(): Promise<Date | false>
  result(): Promise<unknown>
  /** Sets state and result of a tracked job, for a day where it has ended (R58); returns whether it was tracked. */
  update(state: JobState, result?: unknown): Promise<boolean>
  /** Begins to track, as waiting. */
  create(): Promise<void>
  /** Stops tracking. */
  stop(): Promise<void>
}

/**
 * Reads a status; false where the job is not tracked or the value is none. Missing `started` and `result` are accepted.
 */
export async function getStatus(store: Store, id: string, prefix?: string): Promise<StatusSnapshot | false> {
  const text = (await store.command('get', [store.keys.status(id, prefix)])) as string | null
  return text === null ? false : parseStatus(text)
}

/** A status as stored. */
function parseStatus(text: string): StatusSnapshot | false {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return false
  }
  if (!isObject(value)) return false
  const { status, updated, started, result } = value
  const code = Number(status)
  if (!isCode(code)) return false
  return { code, state: STATES[code], updated: dateOf(updated), started: dateOf(started), result: result ?? null }
}

/**
 * Marks a tracked job as running, unless it is no longer waiting: the call may be sent again, or late, when the job has
 * ended already.
 */
export async function markRunning(store: Store, id: string, prefix?: string): Promise<void> {
  await write(store, id, prefix, 'running', null, 'waiting')
}

/** A handle on one job's status. */
export function jobStatus(call: Call, id: string, prefix?: string): JobStatus {
  let untracked = false
  const get = async (): Promise<StatusSnapshot | false> => {
    if (untracked) return false
    const found = await call(({ store }) => getStatus(store, id, prefix))
    untracked = found === false
    return found
  }
  const field = async <K extends keyof StatusSnapshot>(name: K): Promise<NonNullable<StatusSnapshot[K]> | false> => {
    const found = await get()
    return found === false ? false : (found[name] ?? false)
  }
  return Object.freeze({
    id,
    get,
    isTracking: async () => (await get()) !== false,
    status: () => field('code'),
    updated: () => field('updated'),
    started: () => field('started'),
    result: async () => {
      const found = await get()
      return found === false ? false : found.result
    },
    update: async (state: JobState, result?: unknown) =>
      !untracked && (await call(({ store }) => write(store, id, prefix, state, result, ''))) === 1,
    create: async () => {
      await call(({ store }) => write(store, id, prefix, 'waiting', null, 'create'))
      untracked = false
    },
    stop: async () => {
      await call(({ store }) => store.command('del', [store.keys.status(id, prefix)]))
    },
  })
}

async function write(
  store: Store,
  id: string,
  prefix: string | undefined,
  state: JobState,
  result: unknown,
  mode: '' | 'create' | 'waiting',
): Promise<unknown> {
  const code = Object.keys(STATES).find((c) => STATES[Number(c) as StatusCode] === state)
  // An unknown state is ignored, as php-resque ignores unknown codes (R59).
  if (code === undefined) return 0
  return store.run(statusScript, [statusName(id, prefix), code, familyJson(result) ?? 'null', mode])
}

function isCode(code: number): code is StatusCode {
  return code in STATES
}

function dateOf(seconds: unknown): Date | undefined {
  return typeof seconds === 'number' && Number.isFinite(seconds) ? new Date(seconds * 1000) : undefined
}
