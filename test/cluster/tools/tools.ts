import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What the tests of the fast level need: a control plane with fake nodes, and Helm. */
export const CONTROL_PLANE = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubectl',
  'helm',
  'kwok',
] as const

/** What a real node needs on top. */
export const NODE = ['kubelet', 'kube-proxy', 'coredns', 'pause'] as const

export type ToolName = (typeof CONTROL_PLANE)[number] | (typeof NODE)[number]

/** A program that is built from Go modules. */
export interface Tool {
  /** The folder beside this file whose go.mod pins it. */
  readonly module: string
  readonly package: string
  /** The source beside go.mod, where the program is of this folder. */
  readonly source?: string
  /** The module that names the version; undefined where the source is in this folder. */
  readonly pinned?: string
  /** Linker flags that tell the program its version. */
  readonly stamp?: (version: string) => string
}

const kubernetes = (name: string): Tool => ({
  module: 'kubernetes',
  package: `k8s.io/kubernetes/cmd/${name}`,
  pinned: 'k8s.io/kubernetes',
  stamp: (version) => {
    const [major = '', minor = ''] = version.slice(1).split('.')
    const set = (key: string, value: string): string => `-X k8s.io/component-base/version.${key}=${value}`
    return [set('gitVersion', version), set('gitMajor', major), set('gitMinor', minor)].join(' ')
  },
})

export const TOOLS: Readonly<Record<ToolName, Tool>> = {
  etcd: { module: 'etcd', package: 'go.etcd.io/etcd/server/v3', pinned: 'go.etcd.io/etcd/server/v3' },
  'kube-apiserver': kubernetes('kube-apiserver'),
  'kube-controller-manager': kubernetes('kube-controller-manager'),
  'kube-scheduler': kubernetes('kube-scheduler'),
  kubectl: kubernetes('kubectl'),
  kubelet: kubernetes('kubelet'),
  'kube-proxy': kubernetes('kube-proxy'),
  helm: {
    module: 'helm',
    package: 'helm.sh/helm/v4/cmd/helm',
    pinned: 'helm.sh/helm/v4',
    stamp: (version) => `-X helm.sh/helm/v4/internal/version.version=${version}`,
  },
  kwok: { module: 'kwok', package: 'sigs.k8s.io/kwok/cmd/kwok', pinned: 'sigs.k8s.io/kwok' },
  coredns: { module: 'coredns', package: '.', source: 'main.go', pinned: 'github.com/coredns/coredns' },
  pause: { module: 'pause', package: '.', source: 'main.go' },
}

/**
 * The version that RESQUEUE_TEST_KUBERNETES asks for instead of the pinned one, with its `v`; undefined for tools that
 * are not of Kubernetes.
 */
export function askedVersion(name: ToolName): string | undefined {
  const asked = process.env['RESQUEUE_TEST_KUBERNETES']
  return asked && TOOLS[name].module === 'kubernetes' ? `v${asked.replace(/^v/, '')}` : undefined
}

/** The folder that holds the module of a tool: beside this file, or in the cache for a version that was asked for. */
export function moduleFolder(name: ToolName): string {
  const { module } = TOOLS[name]
  const asked = askedVersion(name)
  if (asked !== undefined) return join(cacheFolder(), 'modules', `${module}-${asked}`)
  return fileURLToPath(new URL(`./${module}/`, import.meta.url))
}

/** The version of a tool, with its `v`: the one that was asked for, or that go.mod pins. */
export function versionOf(name: ToolName): string {
  const { pinned } = TOOLS[name]
  if (pinned === undefined) return 'v1'
  const asked = askedVersion(name)
  if (asked !== undefined) return asked
  const line = readFileSync(join(moduleFolder(name), 'go.mod'), 'utf8')
    .split('\n')
    .map((text) => text.trim().replace(/^require /, ''))
    .find((text) => text.startsWith(`${pinned} v`))
  if (line === undefined) throw new Error(`The go.mod of ${name} does not name ${pinned}`)
  return line.split(' ')[1] as string
}

/**
 * Where built tools and images are kept: outside the checkout, so that they outlive it. RESQUEUE_CLUSTER_TOOLS moves
 * it.
 */
export function cacheFolder(): string {
  const base = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache')
  return process.env['RESQUEUE_CLUSTER_TOOLS'] || join(base, 'resqueue', 'cluster-tools')
}

/** The executable of a tool in its pinned version, whether it exists or not. */
export function toolPath(name: ToolName): string {
  const { source } = TOOLS[name]
  const built = source === undefined ? [] : [hashOf(join(moduleFolder(name), source))]
  return join(cacheFolder(), [name, versionOf(name), ...built, process.platform, process.arch].join('-'), name)
}

/** Those of `names` that have not been built. */
export function missingTools(names: readonly ToolName[]): ToolName[] {
  return names.filter((name) => !existsSync(toolPath(name)))
}

/** The first executable of that name on the PATH or in the folders where systems keep administrators' programs. */
export function programPath(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

function hashOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 8)
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
