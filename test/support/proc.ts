import { readFileSync, readdirSync } from 'node:fs'
import { waitFor, type WaitOptions } from './wait.ts'

export interface ProcessInfo {
  readonly pid: number
  readonly ppid: number
  /** R, S, D, T (stopped), Z (zombie) … */
  readonly state: string
  readonly name: string
  readonly command: string
}

/** All processes of the machine, from /proc; empty where there is none (macOS). */
export function processes(): ProcessInfo[] {
  return pids().flatMap((pid) => {
    const stat = readProc(pid, 'stat')
    const match = /^\d+ \((.*)\) (\S) (\d+) /s.exec(stat)
    if (!match) return []
    const command = readProc(pid, 'cmdline').replaceAll('\0', ' ').trim()
    return [{ pid, ppid: Number(match[3]), state: match[2] as string, name: match[1] as string, command }]
  })
}

/** Children, their children and so on, zombies included. Without an argument: of this process. */
export function descendants(of: number = process.pid): ProcessInfo[] {
  const all = processes()
  const found: ProcessInfo[] = []
  const parents = [of]
  for (let parent = parents.pop(); parent !== undefined; parent = parents.pop()) {
    const children = all.filter((p) => p.ppid === parent)
    found.push(...children)
    parents.push(...children.map((p) => p.pid))
  }
  return found
}

/** Processes that `of` or a descendant of it failed to wait for. */
export function zombies(of: number = process.pid): ProcessInfo[] {
  return descendants(of).filter((p) => p.state === 'Z')
}

/** Whether the process exists and is no zombie. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return !/^\d+ \(.*\) [ZX] /s.test(readProc(pid, 'stat'))
}

/**
 * SIGSTOP that is in force when this returns. The signal alone is not: until each of its threads has stopped, the process
 * may still answer what is sent to it afterwards.
 */
export function freeze(pid: number): void {
  process.kill(pid, 'SIGSTOP')
  const end = performance.now() + 10_000
  while (threads(pid).some((stat) => !/^\d+ \(.*\) [TtZX] /s.test(stat))) {
    if (performance.now() > end) throw new Error(`${pid} does not stop: ${readProc(pid, 'status')}`)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
  }
}

/** Waits until the process is gone. */
export async function waitForDeath(pid: number, options: WaitOptions = {}): Promise<void> {
  await waitFor(() => !isAlive(pid), { describe: () => `the death of ${pid}: ${readProc(pid, 'status')}`, ...options })
}

/** What the tests start carries this in its environment, grandchildren that lost their parents included. */
const MARK = 'RESQUEUE_TEST_RUN'

/** Marks everything that this process starts from now on. */
export function markOffspring(): void {
  process.env[MARK] ??= `${process.pid}.${Math.random().toString(36).slice(2)}`
}

/** Living processes that were started, at any remove, by this one since `markOffspring`. Linux only. */
export function offspring(): ProcessInfo[] {
  const mark = process.env[MARK]
  if (mark === undefined) return []
  const marked = new Set(
    pids().filter((pid) => pid !== process.pid && readProc(pid, 'environ').split('\0').includes(`${MARK}=${mark}`)),
  )
  return processes().filter((p) => marked.has(p.pid) && p.state !== 'Z' && p.state !== 'X')
}

function pids(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger)
  } catch {
    return []
  }
}

/** The `stat` of each thread that there is. */
function threads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((tid) => readProc(pid, `task/${tid}/stat`) || [])
  } catch {
    return []
  }
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return ''
  }
}
