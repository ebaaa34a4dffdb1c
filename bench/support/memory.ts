import { readFileSync } from 'node:fs'

export interface Memory {
  /** Pages that no other process shares, MB (10^6 bytes). */
  readonly privateMb: number
  /** Pages that belong to no file, MB. */
  readonly anonymousMb: number
}

/** What the kernel says about a process. */
export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const mb = (name: string): number => (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) * 1024) / 1e6
  return { privateMb: mb('Private_Clean') + mb('Private_Dirty'), anonymousMb: mb('Anonymous') }
}

/** The processes that a process started and that live. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return text === '' ? [] : text.split(' ').map(Number)
}
