import { execFile, type ExecFileException } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cleanEnv } from '../../support/process.ts'
import { own } from '../../support/scope.ts'
import { waitFor } from '../../support/wait.ts'
import { openApi, type Api } from './api.ts'
import { writeKubeconfig, type Access, type Identity } from './kubeconfig.ts'

/** How a command ended. */
export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** Default: admin. */
  readonly as?: Identity
  readonly input?: string
  readonly timeoutMs?: number
  readonly env?: Readonly<Record<string, string>>
}

/** An object of Kubernetes as tests see it. */
export interface KubeObject {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata?: { readonly name?: string; readonly namespace?: string; readonly [field: string]: unknown }
  readonly [field: string]: unknown
}

/** A cluster to test against: of the tests' own, or the user's. */
export interface Cluster {
  /** As the admin. */
  readonly api: Api
  readonly access: Access
  /** A kubeconfig file. `server` names another address, such as a proxy's on 127.0.0.1. It goes with the test. */
  kubeconfig(identity?: Identity, options?: { namespace?: string; server?: string }): Promise<string>
  /** kubectl as the admin, to its end: what it printed. Rejects with what it said when it fails. */
  kubectl(...args: readonly string[]): Promise<string>
  /** Runs `kubectl`, `helm` or any program that reads KUBECONFIG, and never rejects. */
  run(program: 'kubectl' | 'helm', args: readonly string[], options?: RunOptions): Promise<Ran>
  /** Server-side apply of objects, or of YAML text. */
  apply(objects: readonly KubeObject[] | string, options?: { namespace?: string }): Promise<void>
  /**
   * A namespace of the test's own, deleted with the test. `restricted`: it enforces the restricted Pod Security
   * Standard. Resolves when pods can be made in it.
   */
  namespace(options?: { restricted?: boolean; labels?: Readonly<Record<string, string>> }): Promise<string>
}

/** Programs by the name under which `run` knows them. */
export interface Programs {
  readonly kubectl: string
  readonly helm: string
}

const MAX_OUTPUT = 64 * 1024 * 1024

/** The handle of a cluster that runs. Its files and namespaces go with the test. */
export function openCluster(access: Access, programs: Programs): Cluster {
  const dir = mkdtempSync(join(tmpdir(), 'resqueue-cluster-'))
  own('cluster files', () => rmSync(dir, { recursive: true, force: true }))
  const api = openApi(access)
  own('cluster client', () => api.close())
  const files = new Map<string, string>()
  let written = 0

  const accessOf = async (identity: Identity): Promise<Access> => {
    if (identity === 'admin') return access
    if ('user' in identity) return { ...access, impersonate: { user: identity.user, groups: identity.groups ?? [] } }
    const [namespace, name] = identity.serviceAccount.split('/')
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`
    const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 7200 } }
    const reply = await api.call<{ status?: { token?: string } }>('POST', path, { body })
    const token = reply.body.status?.token
    if (token === undefined) throw new Error(`No token for ${identity.serviceAccount}: ${JSON.stringify(reply.body)}`)
    const { server, ca, serverName } = access
    return { server, ...(ca && { ca }), ...(serverName && { serverName }), token }
  }

  const cluster: Cluster = {
    api,
    access,
    async kubeconfig(identity = 'admin', options = {}) {
      const { namespace = 'default', server } = options
      const id = JSON.stringify([identity, namespace, server])
      const known = files.get(id)
      if (known !== undefined) return known
      const file = join(dir, `${++written}.kubeconfig`)
      const given = await accessOf(identity)
      writeFileSync(file, writeKubeconfig(server === undefined ? given : { ...given, server }, namespace), {
        mode: 0o600,
      })
      files.set(id, file)
      return file
    },
    async kubectl(...args) {
      const { code, stdout, stderr } = await cluster.run('kubectl', args)
      if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr || stdout}`)
      return stdout
    },
    async run(program, args, options = {}) {
      const KUBECONFIG = await cluster.kubeconfig(options.as)
      // Folders of the test's own: neither a cache nor a repository list of the user's is read or written.
      const home = { HOME: dir, HELM_CACHE_HOME: dir, HELM_CONFIG_HOME: dir, HELM_DATA_HOME: dir }
      return runToEnd(programs[program], args, { ...options, env: { KUBECONFIG, ...home, ...options.env } })
    },
    async apply(objects, options = {}) {
      const input =
        typeof objects === 'string' ? objects : JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })
      const where = options.namespace === undefined ? [] : ['--namespace', options.namespace]
      const args = ['apply', '--server-side', '--force-conflicts', ...where, '-f', '-']
      const { code, stderr } = await cluster.run('kubectl', args, { input })
      if (code !== 0) throw new Error(`kubectl apply: ${stderr}`)
    },
    async namespace({ restricted = false, labels = {} } = {}) {
      const name = `test-${randomBytes(5).toString('hex')}`
      const enforced = restricted ? { 'pod-security.kubernetes.io/enforce': 'restricted' } : {}
      const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels: { ...enforced, ...labels } } }
      const made = await api.call('POST', '/api/v1/namespaces', { body })
      if (made.status !== 201) throw new Error(`No namespace: ${JSON.stringify(made.body)}`)
      own(`namespace ${name}`, () => deleteNamespace(api, name))
      await waitFor(
        async () => (await api.call('GET', `/api/v1/namespaces/${name}/serviceaccounts/default`)).status === 200,
        { describe: `the default service account of ${name}` },
      )
      return name
    },
  }
  return cluster
}

/** Deletes it, or throws what the API server says. A server that ended before has taken it along. */
async function deleteNamespace(api: Api, name: string): Promise<void> {
  let last: unknown
  for (let attempt = 0; attempt < 3; attempt++) {
    last = await api.call('DELETE', `/api/v1/namespaces/${name}`, { timeoutMs: 5000 }).catch((error: unknown) => error)
    if ((last as { code?: string }).code === 'ECONNREFUSED') return
    const { status } = last as { status?: number }
    if (status !== undefined && (status < 300 || status === 404)) return
  }
  if (last instanceof Error) process.stderr.write(`Namespace ${name} is left: ${last.message}\n`)
  else throw new Error(`Namespace ${name} cannot be deleted: ${JSON.stringify(last)}`)
}

function runToEnd(file: string, args: readonly string[], options: RunOptions): Promise<Ran> {
  const { timeoutMs = 60_000, input = '', env } = options
  return new Promise((resolve) => {
    const settings = { env: cleanEnv(env), timeout: timeoutMs, maxBuffer: MAX_OUTPUT, killSignal: 'SIGKILL' as const }
    const child = execFile(file, args, settings, (error: ExecFileException | null, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      const late = error?.killed ? `\nKilled after ${timeoutMs} ms` : ''
      resolve({ code, stdout, stderr: `${stderr}${late}` || (error?.message ?? '') })
    })
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
  })
}
