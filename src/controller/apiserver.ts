import { once } from 'node:events'
import { Agent as HttpAgent, request as requestHttp, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { sleep } from '../clock.ts'
import { ResQueueError, messageOf } from '../errors.ts'
import { VERSION } from '../version.ts'
import type { KubeAccess, KubeAuth } from './kube.ts'

/** Credentials are read anew this often, and whenever they are refused. Milliseconds. */
const AUTH_MS = 60_000
/** How long a request may take. Milliseconds. */
const REQUEST_MS = 10_000
/** How often a request that was sent away (429, 503) is tried again at most. */
const MOST_TRIES = 3
/** The longest wait that a Retry-After may ask of a single request. Milliseconds. */
const LONGEST_RETRY_MS = 5000
/** Differences of clocks that nobody needs to know of: an answer names its second, and takes a while. Milliseconds. */
const LEAST_AHEAD_MS = 2000
/** Requests at a time: the API server counts them in flight per client. */
const MOST_SOCKETS = 16

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

/** A request as the API server wants it. */
export interface KubeRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH'
  readonly path: string
  readonly query?: Query
  readonly body?: unknown
  /** Of the body. Default `application/json`; a PATCH names its kind. */
  readonly contentType?: string
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number
  /** Whether to ask again where the server is too busy. Default true. */
  readonly patient?: boolean
}

/** What was answered. A status of 400 and more is an answer as well. */
export interface KubeReply {
  readonly status: number
  /** The parsed JSON; a `Status` object where something was refused. */
  readonly body: unknown
  /** How long to wait before asking again, where the server says so. */
  readonly retryAfterMs: number | undefined
}

/** The API server, through HTTP. */
export interface ApiServer {
  /** Requests sent, and those that got no answer or whose answer broke off. */
  readonly counts: { requests: number; failed: number }
  /**
   * How far its wall clock is ahead of ours, as its last answer said; 0 before one did, and for less than two seconds.
   * Milliseconds. What it says of times is to be compared with its own clock.
   */
  readonly aheadMs: number
  /**
   * Sends a request. Answers of 429 and 503 are asked for again, a 401 once with fresh credentials. Throws
   * `KUBERNETES_UNAVAILABLE` where no answer came: then a write may have happened or not.
   */
  request(request: KubeRequest): Promise<KubeReply>
  /**
   * Opens a watch and yields its lines. Ends when the server ends it, or when it has said nothing for `silenceMs`;
   * throws `KUBERNETES_UNAVAILABLE` where it breaks or is not answered at all, and `KUBERNETES_REFUSED` where it is
   * refused.
   */
  watch(request: KubeRequest & { readonly silenceMs: number }): AsyncGenerator<string>
  close(): void
}

/**
 * An answer that is a refusal, as an error: `data` has status, reason and retryAfterMs. `advice`: what to do about it,
 * without a full stop; the rights of the service account where the caller knows nothing better.
 */
export function refusal(what: string, { status, body, retryAfterMs }: KubeReply, advice?: string): ResQueueError {
  const { reason, message } = (body ?? {}) as { reason?: string; message?: string }
  const isForbidden = status === 401 || status === 403
  const hint = advice ?? (isForbidden ? 'Check the service account and its roles' : undefined)
  return new ResQueueError(
    status === 429 || status >= 500 ? 'KUBERNETES_UNAVAILABLE' : 'KUBERNETES_REFUSED',
    `The API server refuses to ${what} (${status}${reason ? ` ${reason}` : ''}): ${message ?? 'it gives no reason'}${hint === undefined ? '' : `. ${hint}`}.`,
    { data: { status, reason, retryAfterMs } },
  )
}

/** The HTTP status behind an error of this module; undefined where there was no answer. */
export function httpStatusOf(error: unknown): number | undefined {
  const status = error instanceof ResQueueError ? error.data['status'] : undefined
  return typeof status === 'number' ? status : undefined
}

export function openApiServer(access: KubeAccess): ApiServer {
  const { server } = access
  const secure = server.startsWith('https:')
  const counts = { requests: 0, failed: 0 }
  let auth: { value: KubeAuth; key: string; readAt: number; agent: HttpAgent | HttpsAgent } | undefined
  let closed = false
  let aheadMs = 0

  const credentials = async (fresh = false): Promise<NonNullable<typeof auth>> => {
    if (auth && !fresh && performance.now() - auth.readAt < AUTH_MS) return auth
    const value = await access.auth()
    const key = JSON.stringify(value.tls)
    const readAt = performance.now()
    if (auth?.key === key) {
      auth = { ...auth, value, readAt }
    } else {
      auth?.agent.destroy()
      const options = { keepAlive: true, keepAliveMsecs: 5000, maxSockets: MOST_SOCKETS, scheduling: 'lifo' as const }
      auth = {
        value,
        key,
        readAt,
        agent: secure ? new HttpsAgent({ ...options, ...value.tls }) : new HttpAgent(options),
      }
    }
    return auth
  }

  /** One try. `signal` also ends the reading of the answer. */
  const send = async (
    request: KubeRequest,
    signal: AbortSignal,
    fresh: boolean,
    own?: HttpAgent | HttpsAgent,
  ): Promise<IncomingMessage> => {
    if (closed) throw new ResQueueError('KUBERNETES_UNAVAILABLE', 'This connection to the API server was closed.')
    const { value, agent } = await credentials(fresh)
    signal.throwIfAborted()
    const body = request.body === undefined ? undefined : JSON.stringify(request.body)
    const outgoing = (secure ? requestHttps : requestHttp)(`${server}${request.path}${queryOf(request.query)}`, {
      method: request.method ?? 'GET',
      agent: own ?? agent,
      ...(secure ? value.tls : {}),
      headers: {
        accept: 'application/json',
        'user-agent': `resqueue/${VERSION}`,
        ...value.headers,
        ...(body === undefined
          ? {}
          : { 'content-type': request.contentType ?? 'application/json', 'content-length': Buffer.byteLength(body) }),
      },
      signal,
    })
    outgoing.on('socket', (socket) => socket.setKeepAlive(true, 5000))
    outgoing.end(body)
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    outgoing.on('error', () => undefined) // told by the response as well
    return response
  }

  const attempt = async (request: KubeRequest, fresh: boolean): Promise<KubeReply> => {
    const timeout = AbortSignal.timeout(request.timeoutMs ?? REQUEST_MS)
    const signal = request.signal ? AbortSignal.any([request.signal, timeout]) : timeout
    counts.requests++
    const sentAt = Date.now()
    try {
      const response = await send(request, signal, fresh)
      aheadMs = aheadOf(response.headers.date, sentAt, Date.now()) ?? aheadMs
      return {
        status: response.statusCode ?? 0,
        body: parse(await textOf(response)),
        retryAfterMs: retryAfter(response.headers['retry-after']),
      }
    } catch (error) {
      request.signal?.throwIfAborted()
      counts.failed++
      throw unavailable(server, timeout.aborted ? new Error('no answer in time') : error)
    }
  }

  return Object.freeze({
    counts,
    get aheadMs() {
      return aheadMs
    },
    request: async (request: KubeRequest) => {
      let fresh = false
      for (let tries = 1; ; tries++) {
        const reply = await attempt(request, fresh)
        if (reply.status === 401 && !fresh) {
          fresh = true
          continue
        }
        const busy = reply.status === 429 || reply.status === 503
        if (!busy || request.patient === false || tries >= MOST_TRIES) return reply
        const waitMs = Math.min(reply.retryAfterMs ?? 500 * 2 ** tries, LONGEST_RETRY_MS)
        await sleep(waitMs * (1 + Math.random() / 4), request.signal)
      }
    },
    async *watch(request: KubeRequest & { readonly silenceMs: number }) {
      // A connection of its own: a watch that ends badly must take no other request with it.
      const { value } = await credentials()
      const own = secure ? new HttpsAgent({ ...value.tls }) : new HttpAgent()
      const stop = new AbortController()
      const signal = request.signal ? AbortSignal.any([request.signal, stop.signal]) : stop.signal
      const silent = setTimeout(() => stop.abort(), request.silenceMs)
      counts.requests++
      let answered = false
      try {
        let response = await send(request, signal, false, own)
        if (response.statusCode === 401) {
          response.resume()
          response = await send(request, signal, true, own)
        }
        if (response.statusCode !== 200) {
          const status = response.statusCode ?? 0
          const body = parse(await textOf(response))
          throw refusal(`watch ${request.path}`, {
            status,
            body,
            retryAfterMs: retryAfter(response.headers['retry-after']),
          })
        }
        answered = true
        response.setEncoding('utf8')
        let rest = ''
        for await (const chunk of response as AsyncIterable<string>) {
          silent.refresh()
          const lines = (rest + chunk).split('\n')
          rest = lines.pop() ?? ''
          for (const line of lines) if (line !== '') yield line
        }
      } catch (error) {
        request.signal?.throwIfAborted()
        if (error instanceof ResQueueError) throw error
        // What does not change has nothing to say: nothing has failed.
        if (answered && stop.signal.aborted) return
        counts.failed++
        throw unavailable(server, stop.signal.aborted ? new Error('no answer in time') : error)
      } finally {
        clearTimeout(silent)
        stop.abort()
        own.destroy()
      }
    },
    close: () => {
      closed = true
      auth?.agent.destroy()
    },
  })
}

function unavailable(server: string, cause: unknown): ResQueueError {
  if (cause instanceof ResQueueError) return cause
  return new ResQueueError(
    'KUBERNETES_UNAVAILABLE',
    `The API server at ${server} does not answer: ${messageOf(cause)}.`,
    { cause },
  )
}

function queryOf(query: Query | undefined): string {
  const given = Object.entries(query ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
  )
  return given.length === 0 ? '' : `?${given.join('&')}`
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return { message: text.slice(0, 500).trim() }
  }
}

/** `date` names the second in which the server answered; when in the meantime that was is not known. */
function aheadOf(date: string | undefined, sentAt: number, receivedAt: number): number | undefined {
  const at = Date.parse(date ?? '') + 500
  if (Number.isNaN(at)) return undefined
  const ahead = at - (sentAt + receivedAt) / 2
  return Math.abs(ahead) < LEAST_AHEAD_MS + (receivedAt - sentAt) / 2 ? 0 : ahead
}

function retryAfter(header: string | undefined): number | undefined {
  const seconds = Number(header)
  return header !== undefined && Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined
}
