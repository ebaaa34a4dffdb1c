import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = '/sys/fs/cgroup'
const WANTED = ['cpu', 'cpuset', 'io', 'memory', 'pids', 'hugetlb']

/** Makes a control group of that name for the node's pods: one per controller with cgroup v1, one in all with v2. */
export function makeCgroup(name: string): void {
  const unified = join(ROOT, 'cgroup.controllers')
  if (existsSync(unified)) {
    const there = readFileSync(unified, 'utf8').trim().split(' ')
    const enable = WANTED.filter((controller) => there.includes(controller)).map((controller) => `+${controller}`)
    writeFileSync(join(ROOT, 'cgroup.subtree_control'), enable.join(' '))
    mkdirSync(join(ROOT, name), { recursive: true })
    writeFileSync(join(ROOT, name, 'cgroup.subtree_control'), enable.join(' '))
    return
  }
  for (const controller of controllers()) {
    const group = join(ROOT, controller, name)
    mkdirSync(group, { recursive: true })
    // Without these no process may enter.
    if (controller === 'cpuset')
      for (const file of ['cpuset.cpus', 'cpuset.mems']) copyFileSync(join(ROOT, controller, file), join(group, file))
  }
}

/** Removes the group and those below it. Its processes must be gone. */
export function removeCgroup(name: string): void {
  const places = existsSync(join(ROOT, 'cgroup.controllers')) ? [ROOT] : controllers().map((one) => join(ROOT, one))
  for (const place of places) removeTree(join(place, name))
}

function controllers(): string[] {
  return readdirSync(ROOT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
}

function removeTree(group: string): void {
  if (!existsSync(group)) return
  for (const entry of readdirSync(group, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(join(group, entry.name))
  rmdirSync(group)
}
