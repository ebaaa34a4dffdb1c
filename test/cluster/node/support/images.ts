import { spawnSync } from 'node:child_process'
import { programPath } from '../../tools/tools.ts'

/** Imports an archive of an image where the kubelet finds it. */
export function importImage(containerdSocket: string, tar: string): void {
  const args = ['--address', containerdSocket, '--namespace', 'k8s.io', 'images', 'import', tar]
  const { status, stdout, stderr } = spawnSync(programPath('ctr') ?? 'ctr', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ctr ${args.join(' ')}: ${stdout}${stderr}`)
}
