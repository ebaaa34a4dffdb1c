import { readFileSync } from 'node:fs'

/** Of /proc: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

export interface Memory {
  /** Pages that no other process shares, MB (10^6 bytes). */
  readonly privateMb: number
  /** Pages that belong to no file, MB. */
  readonly anonymousMb: number
}

/** What the kernel says about a process. */
export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const mb = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) * 1024) / 1e6
  return { privateMb: mb('Private_Clean') + mb('Private_Dirty'), anonymousMb: mb('Anonymous') }
}

/** CPU that a process and all it started have used so far, seconds; of those that ended, what somebody waited for. */
export function cpuOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const own = fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND
  return childrenOf(pid).reduce((sum, child) => sum + cpuOf(child), own)
}

/** The processes that a process started and that live. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return text === '' ? [] : text.split(' ').map(Number)
}
