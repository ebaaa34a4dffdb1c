import { once } from 'node:events'
import { settlesWithin, sleep, systemClock, type Clock } from '../clock.ts'
import { ResQueueError, messageOf } from '../errors.ts'
import { connect, type Connection, type Role } from './connection.ts'
import { keysOf, type Keys } from './keys.ts'
import { classify, lostCall } from './replies.ts'
import type { Script } from './scripts.ts'
import { parseEndpoint, redactUrl, type RedisConfig } from './url.ts'

export type Arg = string | number | Buffer

/** How long to insist on an answer. */
export interface Patience {
  /**
   * Milliseconds until the call gives up with a typed error; `Infinity` insists until `signal` aborts. Default 5000.
   */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal | undefined
  /**
   * Not to wait beyond the deadline, or an abort, for the answer to a call that went out, as a frozen Redis makes one
   * do. For what only reads.
   */
  readonly punctual?: boolean
  /** Wait while Redis refuses for a reason that may pass (full, read-only, loading) instead of failing at once. */
  readonly stubborn?: boolean
  /** Wait while a new connection is refused for good, too: a password may be on its way from one to the next. */
  readonly rotation?: boolean
  /** Told of every failed try, and once with undefined when a try succeeds after failed ones. */
  readonly trouble?: (error: Error | undefined) => void
  /** Told of every try that went out and was not answered: it may have run. */
  readonly lost?: () => void
}

/** What a script answered, and when the call that was answered went out (monotonic milliseconds). */
export interface Exchange {
  readonly reply: unknown
  readonly sentAt: number
}

/**
 * The one door to Redis. A call is sent again, unchanged, until it is answered: every script of ours may be sent twice
 * (claims and call numbers see to that), so a rejected socket means *unknown*, never *failed*.
 */
export interface Store {
  readonly keys: Keys
  /** The URL without its password, for messages. */
  readonly address: string
  /** Whether the connection is usable at this instant. */
  readonly ready: boolean
  /** Calls sent and reconnections, of this store and those it opened. */
  readonly counts: { commands: number; reconnects: number }
  /** Runs a script; see `exchange`. */
  run(script: Script, args: readonly Arg[], patience?: Patience): Promise<unknown>
  /**
   * Runs a script until it is answered. Throws `REDIS_UNAVAILABLE` after the deadline, `REDIS_FULL`, `REDIS_REFUSED`
   * for what Redis refuses, or the signal's reason.
   */
  exchange(script: Script, args: readonly Arg[], patience?: Patience): Promise<Exchange>
  /** One command, sent again until answered. Only for commands that may run twice. */
  command(name: string, args: readonly Arg[], patience?: Patience): Promise<unknown>
  /**
   * Waits with a blocking command and runs a script right behind it, in one exchange: Redis runs it at the instant the
   * wait ends. `came` is what the wait brought, or why Redis refused it; `reply` is missing where Redis has not loaded
   * the script (`exchange` loads it).
   */
  waitThenRun(
    wait: string,
    waitArgs: readonly Arg[],
    script: Script,
    args: readonly Arg[],
    patience?: Patience,
  ): Promise<{ readonly came: unknown; readonly reply: unknown; readonly sentAt: number }>
  /**
   * Several commands in one round trip, in order. A command that Redis refuses yields its `ResQueueError` in its place.
   */
  pipeline(commands: readonly (readonly [string, ...Arg[]])[], patience?: Patience): Promise<unknown[]>
  /** A second store of the same Redis for another role, `blocking` for waits; it shares the counts. */
  open(role: Role, name: string): Store
  /** Sends nothing more; calls under way reject. */
  close(): void
}

/** Opens a store, which connects at the first call. `role` decides about timeouts, `name` is the CLIENT name. */
export function openStore(
  config: RedisConfig,
  name = 'resqueue-client',
  role: Role = 'command',
  clock: Clock = systemClock,
  counts: Store['counts'] = { commands: 0, reconnects: 0 },
): Store {
  const keys = keysOf(config.namespace)
  const address = redactUrl(config.url)
  let connection: Connection | undefined
  let closed = false
  let lastError: Error | undefined
  let underWay = 0
  /** Another server may be the primary by now: nothing more is sent before the connection was made anew. */
  let outdated = false

  const live = (): Connection => {
    if (closed) throw closedError()
    if (connection) return connection
    const opened = connect(config, role, name)
    opened.setMaxListeners(0) // each call that waits for the connection listens; Node would warn of a leak
    opened.on('error', (error: Error) => {
      // Of ioredis' own first command, on a socket that has just broken: what broke it was told before.
      if (lastError === undefined || !/enableOfflineQueue/.test(error.message)) lastError = lostCall(error)
    })
    opened.on('ready', () => {
      lastError = undefined
      outdated = false
    })
    opened.on('reconnecting', () => {
      counts.reconnects++
    })
    connection = opened
    return opened
  }

  const becomeReady = async (until: number, signal: AbortSignal | undefined): Promise<void> => {
    const c = live()
    if (c.status === 'ready') return
    if (c.status === 'wait' || c.status === 'end') c.connect().catch(() => undefined) // told by the error event
    const left = Math.ceil(Math.min(Math.max(until - clock.monotonic(), 1), 1000))
    const timeout = AbortSignal.timeout(left)
    const either = signal ? AbortSignal.any([signal, timeout]) : timeout
    await once(c, 'ready', { signal: either }).catch((error: unknown) => {
      signal?.throwIfAborted()
      if (closed) throw closedError()
      if (!timeout.aborted && lastError === undefined) lastError = error as Error
    })
  }

  /** Why nothing came that could be told. A Redis without TLS waits for the rest of what is said to it. */
  const silence = (): Error | undefined =>
    config.tls || parseEndpoint(config).tls
      ? new Error('no TLS connection came about; where Redis speaks no TLS, use redis:// and name no --redis-ca')
      : undefined

  /** Leaves an outdated connection as soon as no call is without its answer, which would be lost. */
  const renew = (c: Connection): void => {
    if (outdated && underWay === 0 && !closed && c.status === 'ready') c.disconnect(true)
  }

  /** Sends `attempt` until it is answered, Redis refuses for good, or patience ends. */
  const insist = async <T>(attempt: (c: Connection) => Promise<T>, patience: Patience = {}): Promise<T> => {
    const { deadlineMs = 5000, signal, punctual = false, stubborn = false, rotation = false, trouble, lost } = patience
    let troubled = false
    const until = clock.monotonic() + deadlineMs
    let refused: ResQueueError | undefined
    for (let round = 0; ; round++) {
      signal?.throwIfAborted()
      const c = live()
      if (c.status === 'ready' && !outdated) {
        try {
          counts.commands++
          underWay++
          const answer = attempt(c)
          if (punctual) {
            const inTime = await settlesWithin(answer, until - clock.monotonic(), signal)
            signal?.throwIfAborted()
            if (!inTime) throw unavailable(address, deadlineMs, undefined)
          }
          const reply = await answer
          if (troubled) trouble?.(undefined)
          return reply
        } catch (error) {
          signal?.throwIfAborted()
          const meaning = classify(error, c.isCluster)
          if (meaning.kind === 'refused') {
            refused = meaning.error
            if (!stubborn || meaning.final) throw meaning.error
            if (meaning.reconnect) outdated = true
          } else {
            lastError = lostCall(error)
            lost?.()
          }
        } finally {
          underWay--
          renew(c)
        }
      }
      if (clock.monotonic() >= until) throw refused ?? unavailable(address, deadlineMs, lastError ?? silence())
      if (trouble && (round > 0 || c.status !== 'wait')) {
        troubled = true
        trouble(refused ?? lastError ?? silence() ?? new Error('not connected'))
      }
      if (c.status === 'ready')
        await sleep(Math.min(25 * 2 ** Math.min(round, 5), Math.max(until - clock.monotonic(), 1)), signal)
      else {
        await becomeReady(until, signal)
        const meaning = lastError && live().status !== 'ready' ? classify(lastError) : undefined
        if (meaning?.kind === 'refused' && meaning.final && !rotation) throw meaning.error
      }
    }
  }

  /**
   * The keys that a script names to Redis. A Redis Cluster gets a second one: while the slot moves, a script that names
   * one missing key would run on the importing node, where the state is not yet. With two, of which the first is always
   * missing, it is refused with TRYAGAIN.
   */
  const declared = (c: Connection): readonly Arg[] => (c.isCluster ? [2, keys.scope, keys.meta] : [1, keys.scope])

  const exchange = (script: Script, args: readonly Arg[], patience?: Patience): Promise<Exchange> =>
    insist(async (c) => {
      let sentAt = clock.monotonic()
      try {
        return { reply: await c.call('evalsha', script.sha, ...declared(c), ...args), sentAt }
      } catch (error) {
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
        sentAt = clock.monotonic()
        return { reply: await c.call('eval', script.source, ...declared(c), ...args), sentAt }
      }
    }, patience)

  return Object.freeze({
    keys,
    address,
    counts,
    get ready() {
      return connection?.status === 'ready'
    },
    exchange,
    run: async (script: Script, args: readonly Arg[], patience?: Patience) =>
      (await exchange(script, args, patience)).reply,
    command: (command: string, args: readonly Arg[], patience?: Patience) =>
      insist((c) => c.call(command, ...args), patience),
    waitThenRun: (wait: string, waitArgs: readonly Arg[], script: Script, args: readonly Arg[], patience?: Patience) =>
      insist(async (c) => {
        const sentAt = clock.monotonic()
        const waited = c.call(wait, ...waitArgs).catch((refused: Error) => refused)
        const ran = c.call('evalsha', script.sha, ...declared(c), ...args).catch((error: Error) => {
          if (!error.message.startsWith('NOSCRIPT')) throw error
        })
        const reply = await ran
        return { came: await waited, reply, sentAt }
      }, patience),
    pipeline: (commands: readonly (readonly [string, ...Arg[]])[], patience?: Patience) =>
      insist(async (c) => {
        const batch = c.pipeline()
        for (const [command, ...args] of commands) batch.call(command, ...args)
        const replies = (await batch.exec()) ?? []
        return replies.map(([error, reply]) => {
          if (!error) return reply
          const meaning = classify(error, c.isCluster)
          if (meaning.kind === 'unknown') throw error
          return meaning.error
        })
      }, patience),
    open: (otherRole: Role, otherName: string) => openStore(config, otherName, otherRole, clock, counts),
    close: () => {
      closed = true
      connection?.disconnect()
    },
  })
}

function closedError(): ResQueueError {
  return new ResQueueError('REDIS_UNAVAILABLE', 'This connection to Redis was closed.')
}

function unavailable(address: string, waitedMs: number, cause: Error | undefined): ResQueueError {
  const told = messageOf(cause).replace(/\.$/, '')
  const why = cause ? `: ${told}` : ''
  return new ResQueueError(
    'REDIS_UNAVAILABLE',
    `Redis at ${address} did not answer within ${Math.round(waitedMs / 100) / 10} s${why}. Check that it runs and that --redis (REDIS_URL) names it.`,
    { cause },
  )
}
