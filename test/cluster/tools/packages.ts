import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { programPath } from './tools.ts'

/** Where Debian puts the plugins that connect pods to the network. */
export const CNI_FOLDER = '/usr/lib/cni'

/** Programs of the system that a real node needs, with the Debian package that has each. */
const PACKAGES: Readonly<Record<string, string>> = {
  buildah: 'buildah',
  containerd: 'containerd',
  debootstrap: 'debootstrap',
  ip: 'iproute2',
  nft: 'nftables',
  nsenter: 'util-linux',
  prometheus: 'prometheus',
  runc: 'runc',
  unshare: 'util-linux',
}

/** Debian packages that are missing for a real node. */
export function missingPackages(): string[] {
  const programs = Object.keys(PACKAGES).filter((name) => programPath(name) === undefined)
  const missing = programs.map((name) => PACKAGES[name] as string)
  if (!existsSync(`${CNI_FOLDER}/bridge`)) missing.push('containernetworking-plugins')
  return [...new Set(missing)]
}

/** Why no real node can be had on this machine whatever is installed; undefined where it can. */
export function nodeImpossible(): string | undefined {
  if (process.platform !== 'linux') return 'a real node needs Linux'
  if (process.getuid?.() !== 0) return 'a real node needs root, for its namespaces and control groups'
  return undefined
}

/** Installs them with apt-get, without starting a service. False where that is not possible. */
export function installPackages(packages: readonly string[]): boolean {
  if (programPath('apt-get') === undefined) return false
  // RUNLEVEL=1 keeps Debian from starting containerd: only the program is wanted.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const run = (...args: readonly string[]): boolean =>
    spawnSync('apt-get', args, { env, stdio: ['ignore', process.stderr, process.stderr] }).status === 0
  return run('update', '-qq') && run('install', '-qq', '-y', '--no-install-recommends', ...packages)
}

/** Where this system gets its Debian packages from. */
export function mirror(): string {
  const folder = '/etc/apt/sources.list.d'
  const files = existsSync(folder) ? readdirSync(folder).map((file) => join(folder, file)) : []
  const lines = ['/etc/apt/sources.list', ...files]
    .filter(existsSync)
    .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
  const addresses = lines.map((line) => /^(?:URIs:|deb(?: \[.*\])?) +(https?:\S+)/.exec(line)?.[1]?.replace(/\/$/, ''))
  return addresses.find((address) => address?.endsWith('/debian')) ?? 'http://deb.debian.org/debian'
}
