import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../support/ports.ts'
import { own } from '../../support/scope.ts'
import { waitFor } from '../../support/wait.ts'
import { CONTROL_PLANE, missingTools, toolPath, type ToolName } from '../tools/tools.ts'
import { openCluster, type Cluster, type Programs } from './cluster.ts'
import { writeKubeconfig, type Access } from './kubeconfig.ts'
import { addFakeNodes, startKwok } from './kwok.ts'
import { startPart, type Part } from './part.ts'
import { makeAuthority, makeTokenKeys, type Authority, type Pair } from './pki.ts'

export interface ControlPlaneOptions {
  /** Fake nodes, on which kwok pretends to run pods. Default 3. 0: no kwok either. */
  readonly nodes?: number
  /** Pods per fake node. Default 500. */
  readonly podsPerNode?: number
  /** Default true. Without one pods must name their node. */
  readonly scheduler?: boolean
  /** Writes one line of JSON per request to `auditLog`. Default false. */
  readonly audit?: boolean
  /**
   * An address of this machine at which pods reach the API server, which then listens on all. Default: loopback only.
   */
  readonly address?: string
  /** Added to the command line of a part. */
  readonly args?: Readonly<
    Partial<Record<'kube-apiserver' | 'kube-controller-manager' | 'kube-scheduler', readonly string[]>>
  >
}

/** A control plane of the test's own, on loopback. */
export interface ControlPlane extends Cluster {
  readonly dir: string
  readonly etcd: Part
  readonly apiServer: Part
  readonly controllerManager: Part
  /** Undefined without one. */
  readonly scheduler: Part | undefined
  readonly kwok: Part | undefined
  /** Issues certificates that the API server trusts. */
  readonly authority: Authority
  /** Writes a kubeconfig with a certificate of that user, and returns its file. */
  identity(commonName: string, organizations?: readonly string[]): Promise<string>
  /** The file with one `audit.k8s.io/v1` Event a line, where `audit` was asked for. */
  readonly auditLog: string
  /** Resolves when the API server answers /readyz with 200: after a restart. */
  ready(): Promise<void>
  /** Ends every part, the last started first, and removes all files. */
  stop(): Promise<void>
}

/** The executables that `Cluster.run` knows. */
export const PROGRAMS: Programs = { kubectl: toolPath('kubectl'), helm: toolPath('helm') }

/** What stands in the way of a control plane, in words; undefined where nothing does. */
export function controlPlaneMissing(needed: readonly ToolName[] = CONTROL_PLANE): string | undefined {
  const missing = missingTools(needed)
  return missing.length === 0 ? undefined : `not built: ${missing.join(', ')}. Run "make cluster-tools".`
}

/**
 * Starts etcd, API server, controller manager, scheduler and kwok on free loopback ports and resolves when pods can be
 * made and scheduled: 5 to 10 s. It ends with the test that started it at the latest.
 */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const { nodes = 3, podsPerNode = 500, scheduler: scheduled = true } = options
  const needed = CONTROL_PLANE.filter(
    (name) => name !== 'helm' && (nodes > 0 || name !== 'kwok') && (scheduled || name !== 'kube-scheduler'),
  )
  const missing = controlPlaneMissing(needed)
  if (missing !== undefined) throw new Error(`The control plane cannot be started: ${missing}`)
  const dir = mkdtempSync(join(tmpdir(), 'resqueue-control-plane-'))
  const parts: Part[] = []
  let stopped = false
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    for (const part of parts.toReversed()) await part.stop()
    rmSync(dir, { recursive: true, force: true })
  }
  own('control plane', stop)

  const launch = async (name: ToolName, args: readonly string[]): Promise<Part> => {
    const more = options.args?.[name as 'kube-apiserver'] ?? []
    const part = await startPart({ name, file: toolPath(name), args: [...args, ...more], dir })
    parts.push(part)
    return part
  }
  const port = await freePort()
  const etcdPort = await freePort(1)
  const server = `https://127.0.0.1:${port}`
  const authority = await makeAuthority(dir)
  const [admin, serving, tokens] = await Promise.all([
    authority.issue({ name: 'admin', commonName: 'admin', organizations: ['system:masters'] }),
    authority.issue({ name: 'apiserver', commonName: 'kube-apiserver', altNames: altNames(options.address) }),
    makeTokenKeys(dir),
  ])
  const access = accessWith(server, authority, admin)
  const cluster = openCluster(access, PROGRAMS)
  const auditLog = join(dir, 'audit.log')

  const etcd = await launch('etcd', etcdArgs(dir, etcdPort))
  const apiServer = await launch('kube-apiserver', [
    ...apiServerArgs({ dir, port, etcdPort, authority, serving, admin, tokens }),
    ...addressArgs(options.address),
    ...(options.audit ? auditArgs(dir, auditLog) : []),
  ])
  const ready = async (): Promise<void> => {
    await waitFor(
      async () => {
        allRunning([etcd, apiServer])
        return (await cluster.api.call('GET', '/readyz', { timeoutMs: 2000 })).status === 200
      },
      { everyMs: 50, describe: () => `the API server: ${apiServer.log()}` },
    )
  }
  await readyOrDead(ready, [etcd, apiServer])

  const identity = async (commonName: string, organizations: readonly string[] = []): Promise<string> => {
    const name = commonName.replaceAll(':', '-')
    const made = await authority.issue({ name, commonName, organizations })
    const file = join(dir, `${name}.kubeconfig`)
    writeFileSync(file, writeKubeconfig(accessWith(server, authority, made)), { mode: 0o600 })
    return file
  }
  const managerConfig = await identity('system:kube-controller-manager')
  const controllerManager = await launch('kube-controller-manager', [
    ...managerArgs(dir, managerConfig, authority, tokens.privateKey),
  ])
  const scheduler = scheduled
    ? await launch('kube-scheduler', schedulerArgs(await identity('system:kube-scheduler')))
    : undefined
  let kwok: Part | undefined
  if (nodes > 0) {
    kwok = await startKwok({
      file: toolPath('kwok'),
      kubeconfig: await cluster.kubeconfig(),
      dir,
      port: await freePort(),
    })
    parts.push(kwok)
    await addFakeNodes(cluster, { count: nodes, pods: podsPerNode, tainted: false })
  }
  await waitFor(
    async () => {
      allRunning(parts)
      return (await cluster.api.call('GET', '/api/v1/namespaces/default/serviceaccounts/default')).status === 200
    },
    { describe: () => `the controller manager: ${controllerManager.log()}` },
  )
  const all = { etcd, apiServer, controllerManager, scheduler, kwok }
  return { ...cluster, ...all, dir, authority, identity, auditLog, ready, stop }
}

const SERVICE_RANGE = '10.96.0.0/16'

function altNames(address: string | undefined): string[] {
  const names = ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc']
  const addresses = ['127.0.0.1', '10.96.0.1', ...(address === undefined ? [] : [address])]
  return [...names.map((name) => `DNS:${name}`), ...addresses.map((ip) => `IP:${ip}`)]
}

function accessWith(server: string, authority: Authority, client: Pair): Access {
  const [ca, cert, key] = [authority.cert, client.cert, client.key].map((file) => readFileSync(file, 'utf8'))
  return { server, ca: ca as string, cert: cert as string, key: key as string }
}

function etcdArgs(dir: string, port: number): string[] {
  return [
    `--data-dir=${join(dir, 'etcd')}`,
    `--listen-client-urls=http://127.0.0.1:${port}`,
    `--advertise-client-urls=http://127.0.0.1:${port}`,
    `--listen-peer-urls=http://127.0.0.1:${port + 1}`,
    `--initial-advertise-peer-urls=http://127.0.0.1:${port + 1}`,
    `--initial-cluster=default=http://127.0.0.1:${port + 1}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
  ]
}

interface ApiServerFiles {
  readonly dir: string
  readonly port: number
  readonly etcdPort: number
  readonly authority: Authority
  readonly serving: Pair
  readonly admin: Pair
  readonly tokens: { readonly privateKey: string; readonly publicKey: string }
}

function apiServerArgs({ dir, port, etcdPort, authority, serving, admin, tokens }: ApiServerFiles): string[] {
  return [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    `--secure-port=${port}`,
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    `--cert-dir=${join(dir, 'certs')}`,
    `--client-ca-file=${authority.cert}`,
    `--tls-cert-file=${serving.cert}`,
    `--tls-private-key-file=${serving.key}`,
    `--service-account-key-file=${tokens.publicKey}`,
    `--service-account-signing-key-file=${tokens.privateKey}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    '--authorization-mode=Node,RBAC',
    `--kubelet-client-certificate=${admin.cert}`,
    `--kubelet-client-key=${admin.key}`,
    '--allow-privileged=true',
    '--profiling=false',
  ]
}

function addressArgs(address: string | undefined): string[] {
  if (address === undefined) return ['--bind-address=127.0.0.1', '--endpoint-reconciler-type=none']
  return ['--bind-address=0.0.0.0', `--advertise-address=${address}`, '--kubelet-preferred-address-types=InternalIP']
}

function auditArgs(dir: string, log: string): string[] {
  const policy = join(dir, 'audit-policy.yaml')
  const rules = {
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived'],
    rules: [{ level: 'Metadata' }],
  }
  writeFileSync(policy, JSON.stringify(rules))
  return [`--audit-policy-file=${policy}`, `--audit-log-path=${log}`]
}

function managerArgs(dir: string, kubeconfig: string, authority: Authority, signingKey: string): string[] {
  // The controller manager makes this folder, by default outside the test's own.
  const plugins = join(dir, 'volume-plugins')
  mkdirSync(plugins)
  return [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    '--secure-port=0',
    '--leader-elect=false',
    '--controllers=*,-nodeipam',
    '--use-service-account-credentials',
    `--service-account-private-key-file=${signingKey}`,
    `--root-ca-file=${authority.cert}`,
    `--cluster-signing-cert-file=${authority.cert}`,
    `--cluster-signing-key-file=${authority.key}`,
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    `--flex-volume-plugin-dir=${plugins}`,
    // The default of 20 a second makes every rollout seconds slower.
    '--kube-api-qps=300',
    '--kube-api-burst=600',
    // An HPA looks every 15 s by default.
    '--horizontal-pod-autoscaler-sync-period=1s',
  ]
}

function schedulerArgs(kubeconfig: string): string[] {
  return [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    '--secure-port=0',
    '--leader-elect=false',
    '--kube-api-qps=300',
    '--kube-api-burst=600',
  ]
}

/** Waits for a part to serve, and fails as soon as one of `parts` is gone: waiting on would only take time. */
async function readyOrDead(ready: () => Promise<void>, parts: readonly Part[]): Promise<void> {
  const over = new AbortController()
  const watch = waitFor(() => over.signal.aborted || parts.some((part) => !part.running), { timeoutMs: 120_000 })
  await Promise.race([ready(), watch.then(() => over.signal.aborted || allRunning(parts))]).finally(() => over.abort())
}

function allRunning(parts: readonly Part[]): void {
  const dead = parts.find((part) => !part.running)
  if (dead !== undefined) throw new Error(`${dead.name} ended:\n${dead.log()}`)
}
