import { loadScript } from '../redis/scripts.ts'
import type { Arg, Patience, Store } from '../redis/store.ts'
import { parsePaused } from './paused.ts'
import { callerArgs, type Registration } from './registry.ts'

const turnScript = loadScript('turn')

/** A record in `ext:inflight`: a job that a slot holds. */
export interface Held {
  readonly slot: number
  readonly claim: number
  readonly queue: string
  /** Redis' time at the reservation, ms. */
  readonly reservedAt: number
  /** Attempts that ended before this one. */
  readonly attempts: number
  /** Whether its status is kept (tracked), or may be. */
  readonly tracked: boolean
  /** Whether anything is kept under `ext:job:` for it, to be forgotten at a final end. */
  readonly remembered: boolean
  /** The payload as it stands in Redis, as text. */
  readonly raw: string
}

/** The failed lists that are written: `r` the common one, `m` that of the queue, `rm` both, or none. */
export type FailureLists = '' | 'r' | 'm' | 'rm'

/** What is recorded of an ended claim. */
export type Ending =
  | { readonly verb: 'done'; readonly result: string }
  | { readonly verb: 'failed'; readonly lists: FailureLists; readonly before: string; readonly after: string }
  | { readonly verb: 'retry'; readonly delayMs: number; readonly attempt: number; readonly error: string }
  | { readonly verb: 'return'; readonly counted: boolean }
  | { readonly verb: 'quarantine' }

/** How a claim ends. */
export interface End {
  readonly slot: number
  readonly claim: number
  readonly queue: string
  /** Redis' time at the reservation, ms. */
  readonly reservedAt: number
  /** `<id>` or `<prefix>_<id>` of a job whose status is kept; else empty. */
  readonly status: string
  readonly forget: boolean
  readonly ending: Ending
}

/** The claims that a turn ends, and the jobs that it asks for. */
export interface TurnRequest {
  readonly ends: readonly End[]
  /** How many of the ended slots, in the order of `sortEnds`, want a next job. */
  readonly next: number
  /** Idle slots that want a job. */
  readonly idle: readonly number[]
  /** First claim number: the ended slots that want a next job ask for `base`, `base + 1`, …, then the idle ones. */
  readonly base: number
  /** In order of priority. */
  readonly queues: readonly string[]
  /** Queue whose token woke this process. */
  readonly wokenBy: string
  /** Whether queues that are left with work ring for other workers. */
  readonly ring: boolean
  /** `<cluster namespace>/<pod uid>`, or empty. */
  readonly drainMark: string
  readonly maxRecoveries: number
}

/** Why a process takes no jobs, as Redis says; empty: it may take some. */
export type State = '' | 'paused' | 'draining'

export type TurnReply =
  | { readonly kind: 'gone' }
  | {
      readonly kind: 'ok'
      /** Redis' time, ms. */
      readonly now: number
      readonly state: State
      /** Not all was looked at: it put many elements into quarantine, or its claims were outrun by a later turn. */
      readonly more: boolean
      /** Elements of queues that are no jobs, and went into quarantine. */
      readonly quarantined: number
      readonly pausedQueues: readonly string[]
      readonly held: readonly Held[]
      /** Monotonic ms at which the answered call was sent. */
      readonly sentAt: number
    }

/** Ends claims and reserves jobs in one atomic call (`lua/turn.lua`). Insists until answered or `signal` aborts. */
export async function turn(
  store: Store,
  process: Registration,
  request: TurnRequest,
  patience: Patience,
): Promise<TurnReply> {
  const ends = sortEnds(request.ends)
  const { reply, sentAt } = await store.exchange(turnScript, turnArgs(process, request, ends), patience)
  return readTurn(reply, request, ends, sentAt)
}

/** How a turn that waited for a token ended. */
export interface TokenTurn {
  /** The queue whose token came; empty where none did in time. */
  readonly token: string
  /** Missing where the turn was not taken: Redis has not loaded the script. */
  readonly reply: TurnReply | undefined
  /** Why Redis refused to wait: a token key of another type. The turn was taken without waiting. */
  readonly refused: Error | undefined
}

/**
 * Waits for a token of `queues` on a blocking connection and takes a turn right behind it, in one exchange: Redis hands
 * out jobs at the instant the token comes, without another round trip. After `seconds` without a token the turn is
 * taken all the same.
 */
export async function turnOnToken(
  blocking: Store,
  process: Registration,
  request: TurnRequest,
  wait: { readonly queues: readonly string[]; readonly seconds: number },
  patience: Patience,
): Promise<TokenTurn> {
  const prefix = blocking.keys.token('')
  const tokens = wait.queues.map((queue) => prefix + queue)
  const ends = sortEnds(request.ends)
  const { came, reply, sentAt } = await blocking.waitThenRun(
    'blpop',
    [...tokens, wait.seconds],
    turnScript,
    turnArgs(process, request, ends),
    patience,
  )
  return {
    token: Array.isArray(came) ? (came[0] as string).slice(prefix.length) : '',
    reply: reply === undefined ? undefined : readTurn(reply, request, ends, sentAt),
    refused: came instanceof Error ? came : undefined,
  }
}

function turnArgs(process: Registration, request: TurnRequest, [plain, others]: SortedEnds): Arg[] {
  const { idle, queues } = request
  const sums = sumFlows(plain)
  const args: Arg[] = [
    ...callerArgs(process),
    request.drainMark,
    request.wokenBy,
    request.maxRecoveries,
    request.base,
    request.next + idle.length,
    request.next + idle.length - 1,
    request.ring ? '1' : '',
    packed(plain.length, sums.size, others.length, request.next, idle.length, queues.length),
  ]
  for (const end of plain) args.push(end.slot)
  for (const end of others) args.push(end.slot)
  args.push(...idle)
  for (const end of plain) args.push(`${end.claim} `)
  for (const [queue, { ended, times }] of sums) args.push(queue, ended, times)
  for (const end of others) pushEnd(args, end)
  for (const queue of queues) args.push(queue)
  return args
}

function readTurn(reply: unknown, request: TurnRequest, [plain, others]: SortedEnds, sentAt: number): TurnReply {
  const { idle, queues } = request
  const fields = reply as (string | number)[]
  if (fields[0] === 'gone') return { kind: 'gone' }
  const now = Number(fields[1])
  const said = fields[2] as string
  const summary = fields[4] as string
  const held: Held[] = []
  if (summary.startsWith('=')) {
    const [place, jobs] = summary.slice(1).split(':').map(Number) as [number, number]
    const queue = queues[place] as string
    for (let i = 0; i < jobs; i++) {
      const slot = (i < request.next ? (plain[i] ?? others[i - plain.length])?.slot : idle[i - request.next]) as number
      held.push(heldOf(slot, request.base + i, queue, now, '', fields[5 + i] as string))
    }
  } else if (summary !== '') {
    for (const [i, memo] of summary.split(',').entries()) {
      const [slot, claim, place, kept = ''] = memo.split(':')
      held.push(
        heldOf(Number(slot), Number(claim), queues[Number(place)] as string, now, kept, fields[5 + i] as string),
      )
    }
  }
  for (let i = 5 + held.length; i + 5 < fields.length; i += 6) {
    held.push(
      heldOf(
        Number(fields[i]),
        Number(fields[i + 1]),
        fields[i + 2] as string,
        Number(fields[i + 3]),
        fields[i + 4] as string,
        fields[i + 5] as string,
      ),
    )
  }
  return {
    kind: 'ok',
    now,
    state: parseState(said),
    more: said.startsWith('m'),
    quarantined: said === '' ? 0 : Number(/\d*$/.exec(said)?.[0]),
    pausedQueues: parsePaused(fields[3]),
    held,
    sentAt,
  }
}

function heldOf(slot: number, claim: number, queue: string, reservedAt: number, memo: string, raw: string): Held {
  const tracked = memo.startsWith('t')
  const remembered = tracked ? memo.slice(1) : memo
  const attempts = remembered === '' ? 0 : Number.parseInt(remembered, 10) || 0
  return { slot, claim, queue, reservedAt, attempts, tracked, remembered: remembered !== '', raw }
}

/**
 * Numbers below 262,144 as three digits in base 64 each, from the character 0 on: the script reads them in one call.
 */
function packed(...numbers: readonly number[]): string {
  return String.fromCharCode(...numbers.flatMap((n) => [48 + (n >> 12), 48 + ((n >> 6) & 63), 48 + (n & 63)]))
}

/** Ends that only count, and the others: in this order the script knows them. */
type SortedEnds = readonly [plain: readonly End[], others: readonly End[]]

function sortEnds(ends: readonly End[]): SortedEnds {
  const plain = ends.filter(isPlain)
  if (plain.length === ends.length) return [plain, []]
  // Each that goes back is put in front of its queue: the oldest claim last, so that it stands first there.
  const returned = ends.filter(isReturned).toSorted((a, b) => b.claim - a.claim)
  return [plain, [...ends.filter((end) => !isPlain(end) && !isReturned(end)), ...returned]]
}

function isReturned({ ending }: End): boolean {
  return ending.verb === 'return'
}

/** An end that only counts: the script needs no more than slot and claim. */
function isPlain(end: End): boolean {
  return end.ending.verb === 'done' && end.status === '' && !end.forget
}

function sumFlows(ends: readonly End[]): Map<string, { ended: number; times: number }> {
  const sums = new Map<string, { ended: number; times: number }>()
  for (const { queue, reservedAt } of ends) {
    const sum = sums.get(queue)
    if (sum) {
      sum.ended++
      sum.times += reservedAt
    } else sums.set(queue, { ended: 1, times: reservedAt })
  }
  return sums
}

function pushEnd(args: Arg[], { claim, status, forget, ending }: End): void {
  args.push(claim, status, forget ? '1' : '', ending.verb)
  switch (ending.verb) {
    case 'done':
      args.push(ending.result)
      break
    case 'failed':
      args.push(ending.lists, ending.before, ending.after)
      break
    case 'retry':
      args.push(Math.max(0, Math.round(ending.delayMs)), ending.attempt, ending.error)
      break
    case 'return':
      args.push(ending.counted ? '1' : '0')
      break
    case 'quarantine':
      break
  }
}

export function parseState(field: unknown): State {
  return field === 'p' ? 'paused' : field === 'd' ? 'draining' : ''
}
