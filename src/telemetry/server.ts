import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { messageOf, ResQueueError } from '../errors.ts'
import { watchEventLoop, type Check, type Checks } from './health.ts'
import type { Telemetry } from './telemetry.ts'

export interface ServerOptions {
  /** 0 takes a free one. */
  readonly port: number
  /** Default: every address of the machine. */
  readonly host?: string | undefined
  readonly telemetry: Pick<Telemetry, 'metrics' | 'contentType'>
  readonly checks: Checks
}

/** Where probes and scrapes are answered. */
export interface TelemetryServer extends AsyncDisposable {
  readonly port: number
  /** Answers under way are finished, for a second at most; then every connection is cut. */
  close(): Promise<void>
}

/**
 * Milliseconds: for a request's head, for a client that stopped reading or writing, for an idle connection (scrapers
 * keep theirs).
 */
const HEADERS_MS = 10_000
const SILENT_MS = 30_000
const KEEP_ALIVE_MS = 75_000
const CLOSING_MS = 1000
/** A scraper and a kubelet need a handful. With one more the oldest is cut: who hoards them keeps no probe out. */
const MOST_CONNECTIONS = 256

const INDEX = `ResQueue

/livez    whether this process moves; ?verbose lists the checks
/readyz   whether it has started and is not stopping; ?verbose lists the checks
/healthz  the same as /livez
/metrics  Prometheus metrics
`

interface Answer {
  readonly status: number
  readonly type?: string
  readonly text: string
}

/**
 * Serves `/livez`, `/readyz`, `/healthz` and `/metrics` on one port. Probes are answered from memory, without Redis.
 * Throws `UNAVAILABLE` where the port cannot be had.
 */
export async function startServer(options: ServerOptions): Promise<TelemetryServer> {
  const { port, host, telemetry, checks } = options
  const eventLoop = watchEventLoop()
  const live = [...checks.live, eventLoop]

  const answer = async (method: string | undefined, target: string): Promise<Answer> => {
    const [path = '', query = ''] = target.split('?', 2)
    const known = ['/', '/livez', '/readyz', '/healthz', '/metrics'].includes(path)
    if (!known) return { status: 404, text: `There is no ${path} here. / lists what there is.\n` }
    if (method !== 'GET' && method !== 'HEAD') return { status: 405, text: 'Only GET and HEAD are answered.\n' }
    if (path === '/') return { status: 200, text: INDEX }
    if (path === '/metrics') return { status: 200, type: telemetry.contentType, text: await telemetry.metrics() }
    return probe(path.slice(1), path === '/readyz' ? checks.ready : live, new URLSearchParams(query).has('verbose'))
  }
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    request.resume()
    const failed = (error: unknown): Answer => ({ status: 500, text: `${messageOf(error)}\n` })
    const {
      status,
      type = 'text/plain; charset=utf-8',
      text,
    } = await answer(request.method, request.url ?? '').catch(failed)
    const body = Buffer.from(text)
    response.writeHead(status, {
      'content-type': type,
      'content-length': body.length,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
    })
    response.end(request.method === 'HEAD' ? undefined : body)
  }

  const server = createServer(
    {
      headersTimeout: HEADERS_MS,
      requestTimeout: HEADERS_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 2000,
    },
    (request, response) => {
      void handle(request, response)
    },
  )
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    const [oldest] = sockets
    if (oldest && sockets.size >= MOST_CONNECTIONS) {
      oldest.destroy()
      sockets.delete(oldest)
    }
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.setTimeout(SILENT_MS)
  try {
    await listen(server, port, host)
  } catch (error) {
    eventLoop.close()
    throw cannotListen(port, host, error)
  }

  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= stop(server).finally(() => eventLoop.close())
    return closing
  }
  return Object.freeze({ port: (server.address() as AddressInfo).port, close, [Symbol.asyncDispose]: close })
}

/** As kube-apiserver answers its probes: `ok`, or each check with a sign where one fails or the list was asked for. */
function probe(name: string, checks: readonly Check[], verbose: boolean): Answer {
  const results = checks.map((check) => ({ name: check.name, problem: check.problem() }))
  const healthy = results.every((result) => result.problem === undefined)
  if (healthy && !verbose) return { status: 200, text: 'ok\n' }
  const lines = results.map((result) =>
    result.problem === undefined ? `[+]${result.name} ok` : `[-]${result.name} failed: ${result.problem}`,
  )
  return { status: healthy ? 200 : 503, text: `${lines.join('\n')}\n${name} check ${healthy ? 'passed' : 'failed'}\n` }
}

async function listen(server: Server, port: number, host: string | undefined): Promise<void> {
  server.listen(host === undefined ? { port } : { port, host })
  await once(server, 'listening')
}

async function stop(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  const timer = setTimeout(() => server.closeAllConnections(), CLOSING_MS)
  await closed
  clearTimeout(timer)
}

function cannotListen(port: number, host: string | undefined, cause: unknown): ResQueueError {
  const code = (cause as NodeJS.ErrnoException).code
  const where = `Port ${port}${host === undefined ? '' : ` of ${host}`}`
  const why =
    code === 'EADDRINUSE'
      ? `${where} is taken. Choose another one with --port (PORT), or 0 for a free one.`
      : code === 'EACCES'
        ? `${where} is not allowed for this user. Choose one above 1023 with --port (PORT).`
        : `${where} cannot be listened on: ${messageOf(cause)}.${host === undefined ? '' : ' --host takes an address of this machine.'}`
  return new ResQueueError('UNAVAILABLE', why, { cause })
}
