import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { waitFor } from '../../../support/wait.ts'
import { startControlPlane, type ControlPlane } from '../../support/controlplane.ts'
import { startPart, type Part } from '../../support/part.ts'
import { programPath, toolPath } from '../../tools/tools.ts'
import { NODE_ADDRESS, NODE_NAME, writeConfigs, type Places } from './config.ts'
import { importImage } from './images.ts'
import { serveTunnel } from './tunnel.ts'

/** What `node.ts` hands over on the command line. */
export interface Inside {
  readonly dir: string
  readonly cgroup: string
  readonly pauseImage: string
  /** Archives to import before the first pod. */
  readonly images: readonly string[]
}

/** The file that says that the node is ready and how to reach it: an `Access` as JSON. */
export const STARTED = 'started.json'

/**
 * The first program in the namespaces of a node: sets up their network and mounts, starts the control plane and the
 * node's parts, and says how to reach them. Everything ends when it does.
 */
async function main(setup: Inside): Promise<void> {
  prepareMounts()
  prepareNetwork()
  await serveTunnel(join(setup.dir, 'tunnel'))
  const plane = await startControlPlane({ nodes: 0, address: NODE_ADDRESS })
  const places = await configure(setup, plane)
  const parts: Part[] = [
    plane.etcd,
    plane.apiServer,
    plane.controllerManager,
    ...(plane.scheduler ? [plane.scheduler] : []),
  ]
  const start = async (name: string, file: string, args: readonly string[]): Promise<void> => {
    parts.push(await startPart({ name, file, args, dir: setup.dir }))
  }
  const ended = (): string | undefined => parts.find((part) => !part.running)?.name

  await start('containerd', programPath('containerd') ?? 'containerd', ['--config', places.containerdConfig])
  await waitFor(() => existsSync(places.containerdSocket), { describe: 'containerd' })
  for (const tar of setup.images) importImage(places.containerdSocket, tar)
  await start('kube-proxy', toolPath('kube-proxy'), [`--config=${places.proxyConfig}`])
  await start('coredns', toolPath('coredns'), ['-conf', places.corefile])
  await start('kubelet', toolPath('kubelet'), [
    `--config=${places.kubeletConfig}`,
    `--kubeconfig=${await plane.identity(`system:node:${NODE_NAME}`, ['system:nodes'])}`,
    `--hostname-override=${NODE_NAME}`,
    `--node-ip=${NODE_ADDRESS}`,
    `--root-dir=${join(setup.dir, 'kubelet')}`,
    `--cert-dir=${join(setup.dir, 'kubelet', 'pki')}`,
  ])
  await waitFor(async () => ended() !== undefined || (await isReady(plane)), {
    everyMs: 100,
    describe: () => `the node to be ready: ${parts.map((part) => `${part.name}:\n${part.log(8)}`).join('\n')}`,
  })
  const dead = parts.find((part) => !part.running)
  if (dead !== undefined) throw new Error(`${dead.name} ended:\n${dead.log()}`)
  // Whole from the moment that it is there.
  const started = join(setup.dir, STARTED)
  writeFileSync(`${started}.new`, JSON.stringify(plane.access))
  renameSync(`${started}.new`, started)
}

async function configure({ dir, cgroup, pauseImage }: Inside, plane: ControlPlane): Promise<Places> {
  return writeConfigs({
    dir,
    cgroup,
    pauseImage,
    clientCa: plane.authority.cert,
    proxyKubeconfig: await plane.identity('system:kube-proxy'),
    adminKubeconfig: await plane.kubeconfig(),
  })
}

async function isReady(plane: ControlPlane): Promise<boolean> {
  const path = `/api/v1/nodes/${NODE_NAME}`
  const { body } = await plane.api.call<{ status?: { conditions?: { type: string; status: string }[] } }>('GET', path)
  return body.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false
}

/** Folders that the node's parts write to whatever they are told, and that are not this machine's. */
function prepareMounts(): void {
  for (const folder of ['/run', '/var/lib/kubelet', '/var/log/containers', '/var/log/pods']) {
    mkdirSync(folder, { recursive: true })
    run('mount', ['-t', 'tmpfs', 'tmpfs', folder])
  }
}

/** A loopback, an address for the node, and a default route: without one the addresses of Services lead nowhere. */
function prepareNetwork(): void {
  const ip = (...args: readonly string[]): void => run('ip', args)
  ip('link', 'set', 'lo', 'up')
  ip('link', 'add', 'node0', 'type', 'bridge')
  ip('address', 'add', `${NODE_ADDRESS}/24`, 'dev', 'node0')
  ip('link', 'set', 'node0', 'up')
  ip('route', 'add', 'default', 'dev', 'node0')
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1')
}

function run(program: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(programPath(program) ?? program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr ?? String(error)}`)
}

if (process.argv[1] === import.meta.filename) await main(JSON.parse(process.argv[2] as string) as Inside)
