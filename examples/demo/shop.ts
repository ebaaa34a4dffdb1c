import { once } from 'node:events'
import { createServer } from 'node:http'

/** The pieces in which a slow download comes, and how long the first ones wait for the rest of their company. */
const PIECES = 10
const PIECE = Buffer.alloc(10_000, 'resqueue ')
const PIECE_MS = 150
const COMPANY_MS = 10_000

/** An HTTP service that jobs call. */
export interface Shop extends AsyncDisposable {
  readonly url: string
  readonly requests: number
  /** Slow downloads that are going on now. */
  readonly downloading: number
  /** Downloads whose caller went away in the middle. */
  readonly cutOff: number
}

/**
 * Starts the service. `/orders/N` answers with the order; `/orders/N?busy` has no time at first; `/slow/N` takes more
 * than a second from when `company` of them are there, so that all of them go on at one time.
 */
export async function openShop(company: number): Promise<Shop> {
  let requests = 0
  let downloading = 0
  let cutOff = 0
  let complete = false
  const seen = new Set<string>()
  const server = createServer((request, response) => {
    requests++
    const [, kind, no, busy] = /^\/(\w+)\/(\d+)(\?busy)?$/.exec(request.url ?? '') ?? []
    if (kind === 'orders' && busy && !seen.has(request.url ?? '')) {
      seen.add(request.url ?? '')
      response.writeHead(503, { 'retry-after': '1' }).end()
    } else if (kind === 'orders') {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ no: Number(no), state: 'paid', total: Number(no) * 100 }))
    } else if (kind === 'slow') {
      complete = ++downloading === company || (complete && downloading > 1)
      const since = performance.now()
      let left = PIECES
      const timer = setInterval(() => {
        if (!complete && performance.now() - since < COMPANY_MS) return
        response.write(PIECE)
        if (--left === 0) response.end()
      }, PIECE_MS)
      response.on('close', () => {
        clearInterval(timer)
        downloading--
        if (left > 0) cutOff++
      })
    } else {
      response.writeHead(404).end()
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    get requests() {
      return requests
    },
    get downloading() {
      return downloading
    },
    get cutOff() {
      return cutOff
    },
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
