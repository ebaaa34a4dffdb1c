import { ResQueueError } from '../errors.ts'
import type { Payload } from './payload.ts'

/**
 * Which jobs `dequeue` removes (R65). A string: every job of that class. `{ Class: 'id' }`: that class with that id. `{
 * Class: {…} }` or `{ Class: […] }`: that class where **every value in the job's first argument occurs among the given
 * values**; names are not looked at, so `{ foo: 1, bar: 2 }` also fits a job that has only `{ foo: 1 }`, and a job
 * without arguments never fits. Several are OR-ed.
 */
export type Item = string | Readonly<Record<string, string | number | object>>

/** Compiles items into a test of payloads. Throws `INVALID_ARGUMENT` for an item of another form. */
export function matcherOf(items: readonly Item[]): (payload: Payload) => boolean {
  const tests = items.flatMap(testsOf)
  return (payload) => tests.some((test) => test(payload))
}

function testsOf(item: Item): ((payload: Payload) => boolean)[] {
  if (typeof item === 'string') return [(payload) => payload.class === item]
  if (typeof item !== 'object' || item === null || Array.isArray(item)) {
    throw new ResQueueError('INVALID_ARGUMENT', 'Each item is a class, { class: id } or { class: { …values } }.')
  }
  return Object.entries(item).map(([name, wanted]) => {
    if (typeof wanted === 'object' && wanted !== null) {
      const given = new Set(Object.values(wanted).map(textOf))
      return (payload: Payload) => payload.class === name && fits(payload.args[0], given)
    }
    return (payload: Payload) => payload.class === name && payload.id === String(wanted)
  })
}

function fits(argument: unknown, given: ReadonlySet<string>): boolean {
  const values =
    argument === null || argument === undefined
      ? []
      : typeof argument === 'object'
        ? Object.values(argument)
        : [argument]
  return values.length > 0 && values.every((value) => given.has(textOf(value)))
}

/**
 * A value as php-resque compares it: by its text, so that 1 and "1" are the same. Lists and objects, which PHP takes
 * for equal whatever they hold, are compared by what they hold.
 */
function textOf(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
      return String(value)
    case 'boolean':
      return value ? '1' : ''
    default:
      return value === null || value === undefined ? '' : `json:${JSON.stringify(value)}`
  }
}
