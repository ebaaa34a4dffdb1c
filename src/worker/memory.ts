import { readFileSync } from 'node:fs'

const LOOK_EVERY_MS = 100
const AT_PAGESZ = 6n
/** cgroup v2, then v1. */
const OOM_COUNTERS = ['/sys/fs/cgroup/memory.events', '/sys/fs/cgroup/memory/memory.oom_control']

let knownPageBytes: number | undefined

/**
 * Bytes in a page of memory, as the kernel tells every process (AT_PAGESZ of getauxval(3)): 64 KiB on some ARM
 * machines. What a process that must not be dumped may not read is taken for the usual 4 KiB.
 */
function pageBytes(): number {
  try {
    const entries = new BigUint64Array(new Uint8Array(readFileSync('/proc/self/auxv')).buffer)
    const at = entries.findIndex((type, i) => i % 2 === 0 && type === AT_PAGESZ)
    return Number(entries[at + 1])
  } catch {
    return 4096
  }
}

/**
 * Bytes of private memory that a process holds now (what it does not share with files); undefined when it is gone or
 * not on Linux.
 */
export function privateBytes(pid: number): number | undefined {
  try {
    const [, resident = 0, shared = 0] = readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ').map(Number)
    knownPageBytes ??= pageBytes()
    return (resident - shared) * knownPageBytes
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
