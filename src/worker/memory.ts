import { readFileSync } from 'node:fs'

const PAGE = 4096
const LOOK_EVERY_MS = 100
/** cgroup v2, then v1. */
const OOM_COUNTERS = ['/sys/fs/cgroup/memory.events', '/sys/fs/cgroup/memory/memory.oom_control']

/**
 * Bytes of private memory that a process holds now (what it does not share with files); undefined when it is gone or
 * not on Linux.
 */
export function privateBytes(pid: number): number | undefined {
  try {
    const [, resident = 0, shared = 0] = readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ').map(Number)
    return (resident - shared) * PAGE
  } catch {
    return undefined
  }
}

/**
 * Looks ten times a second at a process's memory and calls `exceeded` once it is above the limit. Returns how to stop.
 */
export function watchMemory(pid: number, limitBytes: number, exceeded: () => void): () => void {
  const timer = setInterval(() => {
    const bytes = privateBytes(pid)
    if (bytes === undefined || bytes <= limitBytes) return
    clearInterval(timer)
    exceeded()
  }, LOOK_EVERY_MS)
  return () => clearInterval(timer)
}

/** How many processes of this container the kernel's OOM killer has ended; 0 where it cannot be known. */
export function oomKills(): number {
  for (const file of OOM_COUNTERS) {
    try {
      return Number(/^oom_kill (\d+)/m.exec(readFileSync(file, 'utf8'))?.[1] ?? 0)
    } catch {
      continue // The other cgroup version.
    }
  }
  return 0
}
