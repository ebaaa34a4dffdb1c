import { readFileSync } from 'node:fs'
import type { RequestOptions } from 'node:https'
import { join } from 'node:path'
import { defined } from '../defined.ts'
import { ResQueueError, messageOf } from '../errors.ts'

/** What a connection to the API server is made with, at this moment: tokens and certificates rotate. */
export interface KubeAuth {
  readonly headers: Readonly<Record<string, string>>
  readonly tls: Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername' | 'pfx' | 'passphrase'>
}

/** Where the API server is, and who asks. */
export interface KubeAccess {
  /** `https://host:port`, without a slash at its end. */
  readonly server: string
  /** The namespace that is meant where none is named: the pod's own, or the context's. */
  readonly namespace: string
  /** Reads credentials anew. Throws `CONFIG` where they cannot be read. */
  readonly auth: () => Promise<KubeAuth>
}

export interface KubeAccessOptions {
  /** Default: the pod's service account where there is one, else KUBECONFIG, else ~/.kube/config. */
  readonly kubeconfig?: string | undefined
  /** A context of the kubeconfig; default: its current one. */
  readonly context?: string | undefined
  readonly env?: NodeJS.ProcessEnv
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

/** The context that the client library makes up, with a server on localhost, where it finds no kubeconfig at all. */
const NOTHING_FOUND = 'loaded-context'

/**
 * Finds the API server. In a pod the service account's files are read and nothing else is loaded; outside, the
 * kubeconfig is read by Kubernetes' own client library, which knows its many ways to log in, and which costs 80 MB.
 * Throws `CONFIG`.
 */
export async function kubeAccess(options: KubeAccessOptions = {}): Promise<KubeAccess> {
  const { kubeconfig, context, env = process.env } = options
  const host = env['KUBERNETES_SERVICE_HOST']
  if (kubeconfig === undefined && context === undefined && !env['KUBECONFIG'] && host) return inCluster(host, env)
  return fromKubeconfig(kubeconfig, context, env)
}

function inCluster(host: string, env: NodeJS.ProcessEnv): KubeAccess {
  const folder = env['RESQUEUE_SERVICE_ACCOUNT_DIR'] ?? SERVICE_ACCOUNT
  const read = (name: string): string => {
    try {
      return readFileSync(join(folder, name), 'utf8').trim()
    } catch (error) {
      throw new ResQueueError(
        'CONFIG',
        `The service account's ${name} cannot be read (${messageOf(error)}). Set automountServiceAccountToken: true on the pod.`,
        { cause: error },
      )
    }
  }
  const bracketed = host.includes(':') ? `[${host}]` : host
  return Object.freeze({
    server: `https://${bracketed}:${env['KUBERNETES_SERVICE_PORT'] ?? '443'}`,
    namespace: env['POD_NAMESPACE'] ?? read('namespace'),
    auth: async () => ({ headers: { authorization: `Bearer ${read('token')}` }, tls: { ca: read('ca.crt') } }),
  })
}

async function fromKubeconfig(
  file: string | undefined,
  context: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<KubeAccess> {
  const { KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  try {
    if (file === undefined) config.loadFromDefault()
    else config.loadFromFile(file)
  } catch (error) {
    throw new ResQueueError('CONFIG', `The kubeconfig cannot be read: ${messageOf(error)}.`, { cause: error })
  }
  if (context !== undefined) {
    if (!config.getContextObject(context))
      throw new ResQueueError('CONFIG', `The kubeconfig has no context "${context}".`)
    config.setCurrentContext(context)
  }
  if (config.getCurrentContext() === NOTHING_FOUND)
    throw new ResQueueError(
      'CONFIG',
      'There is no kubeconfig: neither KUBECONFIG nor ~/.kube/config, and no service account of a pod. Name one with --kubeconfig.',
    )
  const cluster = config.getCurrentCluster()
  if (!cluster?.server)
    throw new ResQueueError('CONFIG', 'The kubeconfig names no cluster. Set KUBECONFIG, or --kubeconfig.')
  return Object.freeze({
    server: cluster.server.replace(/\/+$/, ''),
    namespace: env['POD_NAMESPACE'] ?? config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
    auth: async () => {
      // Plain HTTP, as `kubectl proxy` speaks it: the library refuses that, and there is nothing to prove.
      if (cluster.server.startsWith('http:')) {
        const token = config.getCurrentUser()?.token
        return { headers: token ? { authorization: `Bearer ${token}` } : {}, tls: {} }
      }
      const options: RequestOptions = {}
      try {
        await config.applyToHTTPSOptions(options)
      } catch (error) {
        throw new ResQueueError('CONFIG', `No credentials for ${cluster.server}: ${messageOf(error)}`, { cause: error })
      }
      const headers: Record<string, string> = {}
      for (const [name, value] of Object.entries(options.headers ?? {})) headers[name.toLowerCase()] = String(value)
      if (options.auth) headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`
      const { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized } = options
      return { headers, tls: defined({ ca, cert, key, pfx, passphrase, servername, rejectUnauthorized }) }
    },
  })
}
