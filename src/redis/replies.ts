import { ResQueueError, messageOf } from '../errors.ts'

/**
 * What a rejected call means. `unknown`: it may have run, the socket cannot tell. `refused`: Redis answered, and did
 * nothing.
 */
export type Meaning =
  | { readonly kind: 'unknown' }
  | {
      readonly kind: 'refused'
      readonly error: ResQueueError
      /** Waiting cannot help: the configuration is wrong. */
      readonly final: boolean
      /** Another server may be the primary by now: connect anew before asking again. */
      readonly reconnect: boolean
    }

/** `REDIS_REFUSED` unless `code` says otherwise; passing, and with the server that is connected, unless said. */
interface Refusal {
  readonly says: RegExp
  readonly code?: 'REDIS_FULL'
  readonly final?: true
  readonly reconnect?: true
  readonly advice: string
}

const REFUSALS: readonly Refusal[] = [
  {
    says: /^OOM /,
    code: 'REDIS_FULL',
    advice: 'Redis has reached maxmemory. Nothing was written: free memory or raise the limit, then try again',
  },
  {
    says: /^READONLY\b/,
    reconnect: true,
    advice: 'This Redis is a read-only replica. Name the primary, or use a redis-sentinel:// URL',
  },
  {
    says: /^MOVED\b/,
    reconnect: true,
    advice: 'This node of a Redis Cluster does not hold the slot of the namespace. Use a redis-cluster:// URL',
  },
  { says: /^MISCONF\b/, advice: 'Redis cannot save to disk and refuses writes. See its log' },
  {
    says: /^(LOADING|BUSY|MASTERDOWN|TRYAGAIN|CLUSTERDOWN|NOREPLICAS|ASK)\b/,
    advice: 'Redis cannot serve this now',
  },
  {
    says: /^ERR max number of clients\b/,
    advice: 'Redis has all the clients it may have. Close some, or raise maxclients',
  },
  {
    says: /^(WRONGPASS|NOAUTH)\b|ERR invalid password|without any password configured/,
    final: true,
    advice: 'Redis refuses the user name or password. Check the URL or REDIS_PASSWORD_FILE',
  },
  {
    says: /^All sentinels .*\bWRONGPASS\b/,
    final: true,
    advice:
      'The Sentinels refuse the user name or password. Without REDIS_SENTINEL_PASSWORD or REDIS_SENTINEL_PASSWORD_FILE they are given the password of Redis',
  },
  {
    // Of a command inside a script: the second is what Redis before 7.2 says, the third since then and Valkey.
    says: /^NOPERM\b|\bThe user executing the script (?:can't|is lacking)\b|\bACL failure in script\b/,
    final: true,
    advice: 'The Redis user may not do this. `resqueue doctor --acl` prints what ResQueue needs',
  },
  {
    says: /^ERR (?:DB index is out of range|invalid DB index)/,
    final: true,
    advice: 'Redis has no database of this number. Check --redis-db (REDIS_BACKEND_DB) and what the URL ends with',
  },
  {
    says: /WRONGTYPE/,
    final: true,
    advice:
      'A key holds another type than the Resque protocol says. Another program may use the same namespace: `resqueue doctor` names the key',
  },
  {
    says: /\battempted to access (?:a non local key|keys that do not hash to the same slot)\b/i,
    final: true,
    advice:
      "This is a node of a Redis Cluster. Use a redis-cluster:// URL, and a namespace with a hash tag such as '{resque}'",
  },
]

/**
 * What can only be so while the slot of the namespace is on its way to another node, where all keys are known to share
 * one.
 */
const MOVING = /\battempted to access a non local key\b/i

/** Redis before 7.0 wraps what a command inside a script was refused for. */
const WRAPPED = /^ERR Error running script \(call to [^)]*\): (?:@user_script: ?\d+: )*-?/

/** What Redis says, beginning with its error code. */
export function refusalOf(error: unknown): string {
  return messageOf(error).replace(WRAPPED, '').trimEnd()
}

/**
 * ioredis notes on its errors what was sent: passwords, and the arguments of every job in the call. Who prints or logs an
 * error with its causes must not find them there.
 */
function forgetSent(error: unknown): void {
  const { lastNodeError } = (error ?? {}) as { lastNodeError?: unknown }
  for (const one of [error, lastNodeError]) if (one instanceof Error) Reflect.deleteProperty(one, 'command')
}

/** What became of a call to which no answer came, as a user is told it: ioredis speaks of its own matters. */
export function lostCall(error: unknown): Error {
  forgetSent(error)
  const { name = '', message = '' } = error as Partial<Error>
  if (name === 'MaxRetriesPerRequestError')
    return new Error('the connection was lost before the answer came', { cause: error })
  if (/\benableOfflineQueue\b/.test(message)) return new Error('not connected', { cause: error })
  if (/\bRESP\b/.test(message)) return new Error("what answers there does not speak Redis' protocol", { cause: error })
  return error as Error
}

/**
 * Sorts an error of ioredis: a reply of Redis, or a socket that went away. `inCluster`: it came by a connection to a
 * whole Redis Cluster, where all keys share a slot.
 */
export function classify(error: unknown, inCluster = false): Meaning {
  if (error instanceof ResQueueError) return { kind: 'refused', error, final: true, reconnect: false }
  forgetSent(error)
  const message = refusalOf(error)
  const known = REFUSALS.find(({ says }) => says.test(message))
  if (known) {
    const { code = 'REDIS_REFUSED', final = false, reconnect = false, advice } = known
    const passing = inCluster && MOVING.test(message)
    const told = passing ? 'The slot of the namespace is being moved to another node' : advice
    return {
      kind: 'refused',
      final: final && !passing,
      reconnect,
      error: new ResQueueError(code, `${told} (Redis says: ${message}).`, { cause: error }),
    }
  }
  if (error instanceof Error && error.name === 'ReplyError') {
    return {
      kind: 'refused',
      final: true,
      reconnect: false,
      error: new ResQueueError('REDIS_REFUSED', `Redis refuses: ${message}`, { cause: error }),
    }
  }
  return { kind: 'unknown' }
}

/** Whether a call was refused because a key holds another type than the Resque protocol says. */
export function isWrongType(error: unknown): boolean {
  return error instanceof ResQueueError && error.code === 'REDIS_REFUSED' && /WRONGTYPE/.test(refusalOf(error.cause))
}

/** Whether a call was refused for a reason that may pass. */
export function isPassing(error: unknown): boolean {
  const verdict = error instanceof ResQueueError && error.code === 'REDIS_REFUSED' && classify(error.cause)
  return verdict && verdict.kind === 'refused' && !verdict.final
}

/** A reply, or `instead` where the key holds another type: one stray key must not spoil a look at many. */
export async function unlessWrongType<T>(reply: Promise<T>, instead: T): Promise<T> {
  try {
    return await reply
  } catch (error) {
    if (isWrongType(error)) return instead
    throw error
  }
}
