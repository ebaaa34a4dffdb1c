import { isObject } from '../json.ts'
import { nearest } from '../values.ts'
import type { Problem } from './api.ts'

export type Path = readonly (string | number)[]

/**
 * Reads the fields of one object of unknown form; what is wrong is added to a list, and the fallback is taken instead.
 */
export interface Fields {
  readonly given: (name: string) => boolean
  readonly text: (name: string, fallback?: string) => string
  readonly oneOf: <T extends string>(name: string, choices: readonly T[], fallback?: T) => T
  readonly whole: (name: string, least: number, most: number, fallback?: number) => number
  readonly bool: (name: string, fallback: boolean) => boolean
  readonly child: (name: string, known: readonly string[]) => Fields
  /** The elements of a list, each read by `read`. */
  readonly list: <T>(name: string, read: (value: unknown, path: Path) => T) => readonly T[]
  readonly value: (name: string) => unknown
  readonly problem: (name: string | null, message: string) => void
}

/** `strict`: names that are not known are problems too. */
export function fieldsOf(
  value: unknown,
  path: Path,
  known: readonly string[],
  problems: Problem[],
  strict: boolean,
): Fields {
  const object = isObject(value) ? value : {}
  if (value !== undefined && !isObject(value)) problems.push({ path, message: `must be an object, not ${show(value)}` })
  const problem = (name: string | null, message: string): void =>
    void problems.push({ path: name === null ? path : [...path, name], message })
  if (strict) {
    for (const name of Object.keys(object)) {
      if (known.includes(name)) continue
      const meant = nearest(name, known)
      problem(
        name,
        `there is no such field${meant === undefined ? `; there are ${known.join(', ')}` : `; did you mean ${meant}?`}`,
      )
    }
  }
  const given = (name: string): boolean => object[name] !== undefined && object[name] !== null
  const missing = <T>(name: string, fallback: T | undefined, otherwise: T): T => {
    if (fallback === undefined) problem(name, 'is required')
    return fallback ?? otherwise
  }
  return {
    given,
    problem,
    value: (name) => object[name],
    text: (name, fallback) => {
      const found = object[name]
      if (!given(name)) return missing(name, fallback, '')
      if (typeof found === 'string' && found !== '') return found
      problem(name, `must be a text that is not empty, not ${show(found)}`)
      return fallback ?? ''
    },
    oneOf: (name, choices, fallback) => {
      const found = object[name]
      const [first] = choices as readonly [(typeof choices)[number]]
      if (!given(name)) return missing(name, fallback, first)
      const fits = choices.find((choice) => choice === found)
      if (fits === undefined) problem(name, `must be ${choices.join(' or ')}, not ${show(found)}`)
      return fits ?? fallback ?? first
    },
    whole: (name, least, most, fallback) => {
      const found = object[name]
      if (!given(name)) return missing(name, fallback, least)
      if (Number.isInteger(found) && (found as number) >= least && (found as number) <= most) return found as number
      problem(name, `must be a whole number from ${least} to ${most}, not ${show(found)}`)
      return fallback ?? least
    },
    bool: (name, fallback) => {
      const found = object[name]
      if (!given(name) || typeof found === 'boolean') return (found as boolean | null | undefined) ?? fallback
      problem(name, `must be true or false, not ${show(found)}`)
      return fallback
    },
    child: (name, names) => fieldsOf(object[name] ?? undefined, [...path, name], names, problems, strict),
    list: (name, read) => {
      const found = object[name]
      if (!given(name)) return []
      if (Array.isArray(found)) return found.map((one, i) => read(one, [...path, name, i]))
      problem(name, `must be a list, not ${show(found)}`)
      return []
    },
  }
}

/** A value as a message shows it. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 59)}…` : text
}
