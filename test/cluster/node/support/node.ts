import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { descendants, isAlive, processes } from '../../../support/proc.ts'
import { spawnCommand, type TestProcess } from '../../../support/process.ts'
import { own } from '../../../support/scope.ts'
import { waitFor } from '../../../support/wait.ts'
import { openCluster, type Cluster, type KubeObject } from '../../support/cluster.ts'
import { PROGRAMS } from '../../support/controlplane.ts'
import type { Access } from '../../support/kubeconfig.ts'
import { startPart, type Part } from '../../support/part.ts'
import { pauseImage, type ImageFile } from '../../tools/images.ts'
import { missingPackages, nodeImpossible } from '../../tools/packages.ts'
import { CONTROL_PLANE, missingTools, NODE } from '../../tools/tools.ts'
import { makeCgroup, removeCgroup } from './cgroups.ts'
import { importImage } from './images.ts'
import { STARTED, type Inside } from './inside.ts'
import { claim, PREFIX, sweepLeftovers } from './leftovers.ts'
import { openTunnel } from './tunnel.ts'

/** How to reach a node from any process of this machine. */
export interface NodeAddress {
  readonly dir: string
  readonly access: Access
  /** The process above all of its processes. */
  readonly pid: number
}

/** A node that runs. */
export interface RealNode {
  readonly address: NodeAddress
  /** Ends everything in it, whatever its state: nothing is left of it. */
  stop(): Promise<void>
}

const INSIDE = fileURLToPath(new URL('./inside.ts', import.meta.url))

/** What stands in the way of a real node, in words; undefined where nothing does. */
export function nodeMissing(): string | undefined {
  const impossible = nodeImpossible()
  if (impossible !== undefined) return impossible
  const missing = [...missingTools([...CONTROL_PLANE, ...NODE]), ...missingPackages()]
  return missing.length === 0 ? undefined : `not there: ${missing.join(', ')}. Run "make cluster-tools".`
}

/**
 * Starts a control plane and a node with containerd, kubelet, kube-proxy and CoreDNS in network, mount and process
 * namespaces of their own, and resolves when the node is ready: about 15 s. Its end, which comes with the test's at the
 * latest, takes everything along: processes, containers, mounts, interfaces.
 */
export async function startNode(images: readonly ImageFile[] = []): Promise<RealNode> {
  const missing = nodeMissing()
  if (missing !== undefined) throw new Error(`A real node cannot be started: ${missing}`)
  sweepLeftovers()
  const dir = mkdtempSync(join(tmpdir(), PREFIX))
  claim(dir)
  const cgroup = basename(dir)
  const pause = pauseImage()
  const setup: Inside = { dir, cgroup, pauseImage: pause.name, images: [pause, ...images].map(({ tar }) => tar) }
  makeCgroup(cgroup)
  const started: Part[] = []
  const stop = async (): Promise<void> => {
    for (const part of started) await part.kill()
    await waitFor(() => !processes().some(({ pid }) => isIn(pid, cgroup)), { describe: 'the end of all containers' })
    // A group is busy for a moment longer than its last process is listed.
    await waitFor(() => (removeCgroup(cgroup), true), { describe: 'the control groups to be left' })
    rmSync(dir, { recursive: true, force: true })
  }
  own('real node', stop)
  // bash is the first process of its namespace: unlike Node it reaps what containers leave behind.
  const first = ['bash', '-c', '"$@"; exit $?', 'bash', process.execPath, INSIDE, JSON.stringify(setup)]
  const args = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', ...first]
  const part = await startPart({ name: 'node', file: 'unshare', args, dir, env: { TMPDIR: dir } })
  started.push(part)
  const readyFile = join(dir, STARTED)
  await waitFor(() => existsSync(readyFile) || !part.running, {
    timeoutMs: 180_000,
    describe: () => `the node:\n${part.log()}`,
  })
  if (!part.running) throw new Error(`The node ended:\n${part.log(60)}`)
  const access = JSON.parse(readFileSync(readyFile, 'utf8')) as Access
  return { address: { dir, access, pid: part.pid }, stop }
}

export interface ServicePort {
  readonly namespace: string
  readonly service: string
  readonly port: number
}

/** A cluster whose pods are real. */
export interface RealCluster extends Cluster {
  /** A port on 127.0.0.1 that leads to a Service, or to an address in the cluster such as `10.85.0.7:9090`. */
  forward(target: string | ServicePort): Promise<number>
  /** Runs a program of this machine in the network of the node: it reaches pods and Services by their addresses. */
  enter(program: string, args: readonly string[]): TestProcess
  /** A volume of the node's own for one claim that names the class which is returned. Its content outlives pods. */
  storageClass(): Promise<string>
  /** Imports an image, for pods with `imagePullPolicy: IfNotPresent` or `Never`. */
  load(image: ImageFile): void
  /** The process of a part by its pid on this machine: `kubelet`, `kube-apiserver`, `containerd`. */
  partPid(name: string): number
  /** The processes of a container, by their pids on this machine, the first one first. */
  containerProcesses(containerId: string): readonly { pid: number; command: string }[]
}

/** The cluster of a node that runs, also in another process than the one that started it. */
export async function openRealCluster({ dir, access, pid }: NodeAddress): Promise<RealCluster> {
  const tunnel = join(dir, 'tunnel')
  const port = await openTunnel(tunnel, new URL(access.server).host)
  const cluster = openCluster({ ...access, server: `https://127.0.0.1:${port}` }, PROGRAMS)
  return {
    ...cluster,
    async forward(target) {
      if (typeof target === 'string') return openTunnel(tunnel, target)
      const path = `/api/v1/namespaces/${target.namespace}/services/${target.service}`
      const { spec } = await cluster.api.get<{ spec: { clusterIP: string } }>(path)
      return openTunnel(tunnel, `${spec.clusterIP}:${target.port}`)
    },
    enter: (program, args) => spawnCommand('nsenter', ['--target', `${pid}`, '--net', program, ...args]),
    async storageClass() {
      const name = `volume-${randomBytes(4).toString('hex')}`
      const path = join(dir, 'volumes', name)
      mkdirSync(path, { recursive: true })
      // Any user of any pod writes here: the kubelet changes no owner below a hostPath.
      chmodSync(path, 0o777)
      await cluster.apply([volume(name, path)])
      own(`volume ${name}`, () =>
        cluster.api.call('DELETE', `/api/v1/persistentvolumes/${name}`).catch(() => undefined),
      )
      return name
    },
    load: ({ tar }) => importImage(join(dir, 'run', 'containerd.sock'), tar),
    partPid: (name) => {
      const found = descendants(pid).find(({ command }) => basename(command.split(' ')[0] ?? '') === name)
      if (found === undefined) throw new Error(`The node has no process ${name}`)
      return found.pid
    },
    containerProcesses: (containerId) => {
      const id = containerId.replace(/^.*:\/\//, '')
      return processes()
        .filter(({ pid }) => isIn(pid, id))
        .map(({ pid, command }) => ({ pid, command }))
        .sort((a, b) => innerPid(a.pid) - innerPid(b.pid))
    },
  }
}

function volume(name: string, path: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: {
      accessModes: ['ReadWriteOnce'],
      capacity: { storage: '10Gi' },
      hostPath: { path },
      persistentVolumeReclaimPolicy: 'Retain',
      storageClassName: name,
    },
  }
}

/** The pid in the innermost namespace. Those of the machine begin anew at some time, so their order says nothing. */
function innerPid(pid: number): number {
  try {
    return Number(/^NSpid:.*\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    return Number.MAX_SAFE_INTEGER
  }
}

function isIn(pid: number, cgroup: string): boolean {
  try {
    return isAlive(pid) && readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(cgroup)
  } catch {
    return false
  }
}
