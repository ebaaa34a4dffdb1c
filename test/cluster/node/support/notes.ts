import { existsSync, readFileSync } from 'node:fs'

/** What jobs of `jobs/noted.ts` noted, outside Redis. */
export interface Note {
  readonly word: 'start' | 'end'
  /** The job's name for itself, an argument of it: `e2e-ruby-3`. */
  readonly key: string
  readonly pod: string
}

export function readNotes(file: string): readonly Note[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
  return lines.map((line) => {
    const [word = '', key = '', pod = ''] = line.split(' ')
    return { word: word as Note['word'], key, pod }
  })
}

/** How often each of these jobs has noted that word. */
export function countOf(
  notes: readonly Note[],
  word: Note['word'],
  keys: readonly string[],
): ReadonlyMap<string, number> {
  const counts = new Map(keys.map((key) => [key, 0]))
  for (const note of notes) {
    const count = counts.get(note.key)
    if (note.word === word && count !== undefined) counts.set(note.key, count + 1)
  }
  return counts
}
