import { Agent, request as httpsRequest } from 'node:https'
import type { Access } from './kubeconfig.ts'

export interface Reply<T = unknown> {
  readonly status: number
  /** Parsed where it is JSON. */
  readonly body: T
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export interface CallOptions {
  readonly body?: unknown
  /** Default: application/json, for PATCH application/merge-patch+json. */
  readonly contentType?: string
  readonly timeoutMs?: number
}

/** Speaks to an API server without any library. */
export interface Api {
  /** One request. Rejects only where there is no answer; any status is one. */
  call<T = unknown>(method: Method, path: string, options?: CallOptions): Promise<Reply<T>>
  /** The body of a GET; rejects on any status but 2xx. */
  get<T = unknown>(path: string): Promise<T>
  close(): void
}

/** A client of that API server. */
export function openApi(access: Access): Api {
  const { ca, cert, key, serverName } = access
  const agent = new Agent({ keepAlive: true, ca, cert, key, ...(serverName && { servername: serverName }) })
  const token = access.token === undefined ? {} : { authorization: `Bearer ${access.token}` }

  const call: Api['call'] = (method, path, options = {}) =>
    new Promise((resolve, reject) => {
      const { body, timeoutMs = 30_000 } = options
      const type = options.contentType ?? (method === 'PATCH' ? 'application/merge-patch+json' : 'application/json')
      const headers = { accept: 'application/json', ...token, ...(body !== undefined && { 'content-type': type }) }
      const signal = AbortSignal.timeout(timeoutMs)
      const outgoing = httpsRequest(new URL(path, access.server), { method, agent, headers, signal }, (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.once('error', reject)
        incoming.once('end', () => {
          const text = Buffer.concat(chunks).toString()
          resolve({ status: incoming.statusCode ?? 0, body: parse(text) as never })
        })
      })
      outgoing.once('error', reject)
      outgoing.end(body === undefined ? undefined : JSON.stringify(body))
    })
  return {
    call,
    async get<T>(path: string): Promise<T> {
      const { status, body } = await call<T>('GET', path)
      if (status >= 300) throw new Error(`GET ${path}: ${status} ${JSON.stringify(body)}`)
      return body
    },
    close: () => agent.destroy(),
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
