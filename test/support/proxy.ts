import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { parseRequest, splitter } from './resp.ts'
import { own } from './scope.ts'
import { latch, type Latch } from './wait.ts'

/** One request as the proxy sees it. */
export interface Request {
  /** In upper case. */
  readonly name: string
  readonly args: readonly Buffer[]
  /** Name and arguments, for regular expressions and logs; long arguments are cut. */
  readonly text: string
  /** 1 for the first connection that the proxy accepted. */
  readonly connection: number
  /** Counts the requests of all connections from 1. */
  readonly number: number
}

/** What may happen to a request and its reply. */
export type Fault =
  /** The connection is closed and Redis never sees the request. */
  | { readonly kind: 'cut-before' }
  /** Redis gets the request and the connection is closed at once, before any reply. */
  | { readonly kind: 'cut-after' }
  /** Redis has performed the request; its reply is thrown away and the connection closed. */
  | { readonly kind: 'drop-reply' }
  /** The reply, and those after it on this connection, come later. */
  | { readonly kind: 'delay-reply'; readonly ms: number }
  /**
   * The request, and those after it on this connection, reach Redis when `until` resolves, also if the client has gone.
   */
  | { readonly kind: 'hold-request'; readonly until: Promise<unknown> }
  /** As `hold-request`, and the client's connection is closed at once: bytes of a dead socket that run late. */
  | { readonly kind: 'late'; readonly until: Promise<unknown> }
  /** Redis gets the request twice; the client gets the second answer only. */
  | { readonly kind: 'twice' }
  /** Redis never sees the request; the client gets this answer, RESP bytes such as `-LOADING wait\r\n`. */
  | { readonly kind: 'answer'; readonly reply: string }

export type Match = string | RegExp | ((request: Request) => boolean)

/** A fault that waits for its request. */
export interface Armed {
  readonly hits: number
  /** Resolves with the first request that it hit. */
  readonly hit: Promise<Request>
  /** Resolves with Redis' reply (raw) to the first request that it hit: it has been performed then. */
  readonly performed: Promise<Buffer>
  off(): void
}

export interface Proxy {
  readonly port: number
  readonly url: string
  /** Open connections of clients. */
  readonly connections: number
  /** Connections accepted since the start. */
  readonly accepted: number
  /** Requests seen, all or of one name. */
  count(name?: string): number
  /** Texts of all requests seen, where `record` was asked for. */
  readonly requests: readonly string[]
  /**
   * Arms a fault for the next `times` (default 1, Infinity for all) matching requests. A string matches the command's
   * name.
   */
  on(match: Match, fault: Fault | ((request: Request) => Fault | undefined), times?: number): Armed
  /** Asked for each request that no armed fault matched; for random faults. undefined lets it pass. */
  decide: ((request: Request) => Fault | undefined) | undefined
  /** Nothing passes in either direction until `release`. Connections stay open. */
  hold(): void
  release(): void
  /** Closes all connections now. */
  cut(): void
  /** Whether new connections are closed at once. */
  refusing: boolean
  close(): Promise<void>
}

interface Pending {
  readonly request: Request | undefined
  readonly deliver: 'pass' | 'swallow' | 'cut'
  readonly delayMs: number
  readonly performed: Latch<Buffer> | undefined
  /** Given instead of Redis' answer. */
  readonly answer?: Buffer
}

interface Rule {
  readonly matches: (request: Request) => boolean
  readonly fault: (request: Request) => Fault | undefined
  left: number
  hits: number
  readonly hit: Latch<Request>
  readonly performed: Latch<Buffer>
}

/** A TCP proxy in front of a real Redis that understands enough of the protocol to spoil it precisely. */
export async function startProxy(
  target: { readonly port: number; readonly host?: string },
  options: { record?: boolean } = {},
): Promise<Proxy> {
  const counts = new Map<string, number>()
  const requests: string[] = []
  const links = new Set<() => void>()
  let rules: Rule[] = []
  let total = 0
  let accepted = 0
  let open = 0
  let gate: Latch | undefined

  const faultOf = (request: Request): [Fault | undefined, Rule | undefined] => {
    const rule = rules.find((r) => r.left > 0 && r.matches(request))
    const fault = rule?.fault(request)
    if (!rule || !fault) return [proxy.decide?.(request), undefined]
    if (--rule.left <= 0) rules = rules.filter((r) => r !== rule)
    rule.hits++
    rule.hit.open(request)
    return [fault, rule]
  }

  const serve = (client: Socket): void => {
    const connection = ++accepted
    if (proxy.refusing) return void client.destroy()
    open++
    const upstream = connect({ port: target.port, host: target.host ?? '127.0.0.1', noDelay: true })
    const pending: Pending[] = []
    const inbox: Buffer[] = []
    const asked = splitter()
    const answered = splitter()
    const held: unknown[] = []
    let writes: Promise<unknown> = Promise.resolve()
    let queuedWrites = 0
    let stalled: Promise<unknown> | undefined
    let cameLate = false
    client.setNoDelay(true)

    const leave = (): void => {
      client.destroy()
      if (inbox.length === 0) upstream.end()
    }
    const expect = (request: Request | undefined, extra: Partial<Pending> = {}): void => {
      pending.push({ request, deliver: 'pass', delayMs: 0, performed: undefined, ...extra })
    }
    const toClient = (frame: Buffer, delayMs = 0): void => {
      if (delayMs === 0 && !gate && queuedWrites === 0) return void client.write(frame)
      queuedWrites++
      writes = writes.then(async () => {
        if (delayMs > 0) await delay(delayMs)
        await gate?.promise
        queuedWrites--
        if (!client.destroyed) client.write(frame)
      })
    }
    const stall = (until: Promise<unknown>): void => {
      const resume = (): void => {
        stalled = undefined
        pump()
      }
      stalled = until
      until.then(resume, resume)
    }
    const flushAnswers = (): void => {
      for (let head = pending[0]; head?.answer; head = pending[0]) {
        pending.shift()
        toClient(head.answer)
      }
    }

    const forward = (frame: Buffer): void => {
      const [word = Buffer.alloc(0), ...args] = parseRequest(frame)
      const name = word.toString('latin1').toUpperCase()
      const text = [name, ...args.map((a) => a.toString('latin1', 0, 300))].join(' ')
      const request: Request = { name, args, text, connection, number: ++total }
      counts.set(name, (counts.get(name) ?? 0) + 1)
      if (options.record) requests.push(text)
      const [fault, rule] = client.destroyed ? [] : faultOf(request)
      const performed = rule?.performed
      const send = (extra: Partial<Pending> = {}): void => {
        expect(request, { performed, ...extra })
        upstream.write(frame)
      }
      switch (fault?.kind) {
        case undefined:
          return send()
        case 'cut-before':
          inbox.length = 0
          return leave()
        case 'cut-after':
          inbox.length = 0
          send({ deliver: 'cut' })
          return void client.destroy()
        case 'drop-reply':
          return send({ deliver: 'cut' })
        case 'delay-reply':
          return send({ delayMs: fault.ms })
        case 'twice':
          expect(request, { deliver: 'swallow' })
          upstream.write(frame)
          return send()
        case 'answer':
          expect(request, { answer: Buffer.from(fault.reply, 'latin1') })
          return flushAnswers()
        case 'hold-request':
        case 'late': {
          const later = { frame, performed }
          held.push(later)
          stall(
            fault.until.finally(() => {
              held.splice(held.indexOf(later), 1)
              expect(request, { performed })
              upstream.write(frame)
            }),
          )
          if (fault.kind === 'late') {
            cameLate = true
            client.destroy()
          }
          return
        }
      }
    }
    const pump = (): void => {
      if (gate && !stalled) return stall(gate.promise)
      while (!stalled) {
        const frame = inbox.shift()
        if (!frame) break
        forward(frame)
      }
      endUpstream()
    }
    /**
     * A client that is gone is gone for Redis as well, which drops what it has not read of it: bytes that come late are
     * answered first.
     */
    const endUpstream = (): void => {
      if (!client.destroyed || inbox.length > 0 || held.length > 0) return
      if (!cameLate || pending.length === 0) upstream.end()
    }

    client.on('data', (chunk: Buffer) => {
      inbox.push(...asked.push(chunk))
      pump()
    })
    upstream.on('data', (chunk: Buffer) => {
      for (const frame of answered.push(chunk)) {
        const entry = frame[0] === 0x3e || pending.length === 0 ? undefined : pending.shift()
        entry?.performed?.open(frame)
        if (entry === undefined) toClient(frame)
        else if (entry.deliver === 'pass') toClient(frame, entry.delayMs)
        else if (entry.deliver === 'cut') {
          inbox.length = 0
          writes = writes.then(() => leave())
          return
        }
        flushAnswers()
      }
      endUpstream()
    })
    client.on('error', () => undefined)
    upstream.on('error', () => undefined)
    client.on('close', () => {
      open--
      pump()
    })
    upstream.on('close', () => {
      links.delete(cutLink)
      writes = writes.then(() => client.end())
    })
    const cutLink = (): void => {
      inbox.length = 0
      client.destroy()
      upstream.destroy()
    }
    links.add(cutLink)
  }

  const server = createServer(serve)
  const proxy: Proxy = {
    get port() {
      return (server.address() as AddressInfo).port
    },
    get url() {
      return `redis://127.0.0.1:${proxy.port}`
    },
    get connections() {
      return open
    },
    get accepted() {
      return accepted
    },
    count: (name) => (name === undefined ? total : (counts.get(name.toUpperCase()) ?? 0)),
    requests,
    on(match, fault, times = 1) {
      const rule: Rule = {
        matches: matcher(match),
        fault: typeof fault === 'function' ? fault : () => fault,
        left: times,
        hits: 0,
        hit: latch<Request>(),
        performed: latch<Buffer>(),
      }
      rules.push(rule)
      return {
        get hits() {
          return rule.hits
        },
        hit: rule.hit.promise,
        performed: rule.performed.promise,
        off: () => void (rules = rules.filter((r) => r !== rule)),
      }
    },
    decide: undefined,
    hold: () => void (gate ??= latch()),
    release() {
      const opening = gate
      gate = undefined
      opening?.open()
    },
    cut() {
      for (const link of links) link()
    },
    refusing: false,
    async close() {
      proxy.refusing = true
      proxy.cut()
      proxy.release()
      if (server.listening) await new Promise((resolve) => server.close(resolve))
    },
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  own('proxy', () => proxy.close())
  return proxy
}

function matcher(match: Match): (request: Request) => boolean {
  if (typeof match === 'function') return match
  if (typeof match === 'string') return (request) => request.name === match.toUpperCase()
  return (request) => match.test(request.text)
}
