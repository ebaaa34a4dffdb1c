import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Agent, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { own } from '../support/scope.ts'
import type { Access } from './support/kubeconfig.ts'

/** What the proxy does to a request that a rule fits. */
export type ApiFault =
  /** Answers itself. */
  | { readonly kind: 'status'; readonly status: number; readonly reason?: string; readonly retryAfterSeconds?: number }
  /** Swallows the request: the connection stays open and nothing comes, as behind a half-open connection. */
  | { readonly kind: 'silence' }
  /** Sends this as the stream's next line. */
  | { readonly kind: 'line'; readonly text: string }
  /** Passes it on when this has been done. */
  | { readonly kind: 'after'; readonly act: () => unknown }
  /** Passes it on, and the answer when this has been done. */
  | { readonly kind: 'before-answer'; readonly act: () => unknown }
  /** Passes so many bytes of the answer, then cuts the connection. */
  | { readonly kind: 'cut'; readonly afterBytes: number }

export interface ApiProxy {
  /** Plain HTTP on loopback; the proxy speaks TLS and authenticates as whoever it was started for. */
  readonly url: string
  /** `GET /path?query` of every request, in order. */
  readonly requests: readonly string[]
  /** The next `times` requests whose `METHOD /path?query` fits meet this fault. */
  on(fits: RegExp, fault: ApiFault, times?: number): void
  /** From now on no open answer gets another byte, though its connection stays. */
  freezeStreams(): void
  /** Open answers that are passed on, frozen ones not included. */
  readonly streams: number
}

/** A proxy in front of an API server, for what goes wrong on the way. */
export async function startApiProxy(access: Access): Promise<ApiProxy> {
  const agent = new Agent({ keepAlive: true, ca: access.ca, cert: access.cert, key: access.key })
  const rules: { fits: RegExp; fault: ApiFault; left: number }[] = []
  const requests: string[] = []
  const open = new Set<{ frozen: boolean }>()

  const handle = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const line = `${incoming.method} ${incoming.url}`
    requests.push(line)
    const rule = rules.find(({ fits, left }) => left > 0 && fits.test(line))
    const fault = rule?.fault
    if (rule) rule.left--
    if (fault?.kind === 'silence') return void incoming.resume()
    if (fault?.kind === 'status') {
      incoming.resume()
      const { status, reason = 'Injected', retryAfterSeconds } = fault
      outgoing.writeHead(status, {
        'content-type': 'application/json',
        ...(retryAfterSeconds !== undefined && { 'retry-after': `${retryAfterSeconds}` }),
      })
      outgoing.end(JSON.stringify({ kind: 'Status', status: 'Failure', code: status, reason, message: 'injected' }))
      return
    }
    if (fault?.kind === 'after') {
      void Promise.resolve(fault.act()).then(() => forward(incoming, outgoing, undefined))
      return
    }
    forward(incoming, outgoing, fault)
  }

  const forward = (incoming: IncomingMessage, outgoing: ServerResponse, fault: ApiFault | undefined): void => {
    const { host: _, connection: __, ...headers } = incoming.headers
    const target = new URL(incoming.url ?? '/', access.server)
    const pass = (answer: IncomingMessage): void => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      outgoing.flushHeaders()
      const stream = { frozen: false }
      open.add(stream)
      if (fault?.kind === 'line') outgoing.write(`${fault.text}\n`)
      let passed = 0
      answer.on('data', (chunk: Buffer) => {
        if (stream.frozen) return
        passed += chunk.length
        if (fault?.kind === 'cut' && passed > fault.afterBytes) {
          outgoing.write(chunk.subarray(0, Math.max(0, chunk.length - (passed - fault.afterBytes))))
          stream.frozen = true
          outgoing.socket?.end()
          return
        }
        outgoing.write(chunk)
      })
      answer.on('end', () => {
        open.delete(stream)
        if (!stream.frozen) outgoing.end()
      })
      answer.on('error', () => outgoing.destroy())
      outgoing.on('close', () => {
        open.delete(stream)
        answer.destroy()
      })
    }
    const forwarded = request(target, { method: incoming.method, headers, agent }, (answer) => {
      if (fault?.kind !== 'before-answer') return pass(answer)
      // Who acts and fails leaves the caller without an answer.
      Promise.resolve(fault.act()).then(
        () => pass(answer),
        () => outgoing.destroy(),
      )
    })
    forwarded.on('error', () => outgoing.destroy())
    incoming.pipe(forwarded)
  }

  const server: Server = createServer(handle)
  server.requestTimeout = 0
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  own('proxy of the API server', async () => {
    agent.destroy()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    on: (fits, fault, times = 1) => void rules.push({ fits, fault, left: times }),
    freezeStreams: () => {
      for (const stream of open) stream.frozen = true
    },
    get streams() {
      return [...open].filter(({ frozen }) => !frozen).length
    },
  }
}
