import { openStore, type Store } from '../../src/redis/store.ts'
import { release, type ReleaseReason, type Release } from '../../src/queue/recovery.ts'
import { register, type Registration } from '../../src/queue/registry.ts'
import { selectQueues } from '../../src/queue/selection.ts'
import { turn, type End, type Ending, type Held, type TurnReply, type TurnRequest } from '../../src/queue/turn.ts'
import { own } from './scope.ts'

/** A worker process as far as Redis can tell: its scripts, called by hand. */
export interface ProcessModel {
  readonly store: Store
  readonly registration: Registration
  readonly held: Map<number, Held>
  register(): Promise<'ok' | 'gone'>
  /** One turn; keeps `held` in step with the answer. */
  turn(request?: Partial<TurnRequest>): Promise<TurnReply>
  /** Reserves for the given idle slots. */
  reserve(...slots: number[]): Promise<readonly Held[]>
  /** Ends what a slot holds; `next` asks for another job at once. */
  end(slot: number, ending: Ending, next?: boolean): Promise<TurnReply>
  release(reason?: ReleaseReason): Promise<Release>
}

let drawn = 0

/** A process of the namespace with its own connection; closed after the test. */
export function modelProcess(
  url: string,
  namespace: string,
  options: {
    queues?: readonly string[]
    slots?: number
    nonce?: string
    drainMark?: string
    maxRecoveries?: number
    failureLists?: string
  } = {},
): ProcessModel {
  const { queues = ['q'], slots = 4, drainMark = '', maxRecoveries = 3, failureLists = 'r' } = options
  const { label, skips } = selectQueues(queues)
  const nonce = options.nonce ?? `model${++drawn}`
  const store = openStore({ url, namespace }, 'resqueue-model')
  own('store', () => store.close())
  const registration: Registration = {
    nonce,
    name: `host.${nonce}`,
    tail: `:4711:${label}`,
    skips,
    slots,
    instance: `uid-${nonce}/worker`,
    host: 'host',
    pid: 4711,
    pid_namespace: '',
    boot_id: '',
    pod: '',
    pod_namespace: '',
    pod_uid: '',
    container: 'worker',
    started: 0,
    version: '0',
    isolation: 'fork',
    failure_lists: failureLists,
    lease_ms: 8000,
  }
  const held = new Map<number, Held>()
  let nextClaim = 1

  const doTurn = async (request: Partial<TurnRequest> = {}): Promise<TurnReply> => {
    const wanted = (request.next ?? 0) + (request.idle?.length ?? 0)
    const full: TurnRequest = {
      ends: [],
      next: 0,
      idle: [],
      base: nextClaim,
      queues,
      wokenBy: '',
      ring: true,
      drainMark,
      maxRecoveries,
      ...request,
    }
    nextClaim = Math.max(nextClaim, full.base + wanted)
    const reply = await turn(store, registration, full, {})
    if (reply.kind === 'ok') {
      for (const end of full.ends) held.delete(end.slot)
      for (const job of reply.held) held.set(job.slot, job)
    }
    return reply
  }

  return {
    store,
    registration,
    held,
    register: () => register(store, registration),
    turn: doTurn,
    reserve: async (...idle) => {
      const reply = await doTurn({ idle })
      return reply.kind === 'ok' ? reply.held : []
    },
    end: (slot, ending, next = false) => {
      const job = held.get(slot)
      if (!job) throw new Error(`slot ${slot} holds nothing`)
      return doTurn({ ends: [endOf(job, ending)], next: next ? 1 : 0 })
    },
    release: (reason = { kind: 'owner' }) => release(store, nonce, reason, maxRecoveries),
  }
}

/** The end of a held job as the worker would report it. */
export function endOf(job: Held, ending: Ending): End {
  const id = (JSON.parse(job.raw) as { id?: string }).id ?? ''
  return {
    slot: job.slot,
    claim: job.claim,
    queue: job.queue,
    reservedAt: job.reservedAt,
    status: job.tracked ? id : '',
    forget: job.remembered,
    ending,
  }
}

/** A payload in canonical form whose id is its number. */
export function payloadOf(number: number, extra = ''): string {
  return `{"class":"Job","args":[{"n":${number}}],"id":"${number.toString(16).padStart(32, '0')}","prefix":"","queue_time":1795371757.491${extra}}`
}

export const DONE: Ending = { verb: 'done', result: 'null' }
export const FAILED: Ending = {
  verb: 'failed',
  lists: 'r',
  before: '{"failed_at":"2026/11/23 00:00:00 UTC","payload":',
  after: ',"exception":"E","error":"e","backtrace":[],"worker":"w:1:q","queue":"q"}',
}
export const RETRY: Ending = { verb: 'retry', delayMs: 0, attempt: 1, error: 'E: e' }
export const ENDINGS: readonly Ending[] = [
  DONE,
  FAILED,
  RETRY,
  { verb: 'return', counted: true },
  { verb: 'return', counted: false },
  { verb: 'quarantine' },
]

/** What a slot holds; throws where it holds nothing. */
export function heldBy(model: ProcessModel, slot: number): Held {
  const job = model.held.get(slot)
  if (!job) throw new Error(`slot ${slot} holds nothing`)
  return job
}
