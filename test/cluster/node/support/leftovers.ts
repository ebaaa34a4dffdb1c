import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isAlive } from '../../../support/proc.ts'
import { removeCgroup } from './cgroups.ts'

/** What the folders of nodes are named. */
export const PREFIX = 'resqueue-node-'

/** Notes in a node's folder who started it. */
export function claim(dir: string): void {
  writeFileSync(join(dir, 'owner'), `${process.pid}`)
}

/**
 * Removes the folders and control groups of nodes whose starter was killed and could not. Their processes died with it:
 * they hang on one that `guard` ends.
 */
export function sweepLeftovers(): void {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(PREFIX))) {
    const dir = join(tmpdir(), name)
    const note = join(dir, 'owner')
    if (!existsSync(note) || isAlive(Number(readFileSync(note, 'utf8')))) continue
    try {
      removeCgroup(name)
      rmSync(dir, { recursive: true, force: true })
    } catch {
      // Something of it still ends: the next start sees to it.
    }
  }
}
