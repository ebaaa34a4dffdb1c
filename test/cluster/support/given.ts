import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { programPath, toolPath } from '../tools/tools.ts'
import type { Programs } from './cluster.ts'
import { readKubeconfig, type Access } from './kubeconfig.ts'

const run = promisify(execFile)

/** The user's own programs, or those that `make cluster-tools` built. */
export function findPrograms(): Programs {
  const find = (name: 'kubectl' | 'helm'): string =>
    existsSync(toolPath(name)) ? toolPath(name) : (programPath(name) ?? toolPath(name))
  return { kubectl: find('kubectl'), helm: find('helm') }
}

/**
 * The cluster that the environment names for the tests, if it does. RESQUEUE_TEST_KUBECONFIG is taken as it is.
 * KUBECONFIG may stand in everyone's shell: it is taken only where its current context is a cluster on this machine
 * (kind, k3d), never any other, because the tests make and delete things.
 */
export async function givenCluster(env: NodeJS.ProcessEnv = process.env): Promise<Access | undefined> {
  const named = env['RESQUEUE_TEST_KUBECONFIG']
  if (named) return accessIn(named)
  const usual = env['KUBECONFIG']
  if (!usual) return undefined
  const access = await accessIn(usual).catch(() => undefined)
  return access !== undefined && isLocal(access.server) ? access : undefined
}

/** Whether an address is one of this machine. */
export function isLocal(server: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[::1\])$/.test(new URL(server).hostname)
}

async function accessIn(file: string): Promise<Access> {
  const args = ['config', 'view', '--raw', '--flatten', '--minify', '-o', 'json']
  const { stdout } = await run(findPrograms().kubectl, args, { env: { ...process.env, KUBECONFIG: file } })
  return readKubeconfig(stdout)
}
