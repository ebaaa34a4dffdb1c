import { beforeAll } from 'vitest'

/** Runs a scenario's part of the work and ends what it started. */
export type Scenario<T> = () => Promise<T>

/**
 * Scenarios that mostly wait run at the same time, before the tests of a file; each test then looks at what one of them
 * brought. Returns for each name the function that gives its outcome, or throws its error.
 */
export function sideBySide<T extends Record<string, Scenario<unknown>>>(
  scenarios: T,
): { readonly [K in keyof T]: () => Awaited<ReturnType<T[K]>> } {
  const outcomes = new Map<string, PromiseSettledResult<unknown>>()
  beforeAll(async () => {
    const names = Object.keys(scenarios)
    const settled = await Promise.allSettled(names.map((name) => (scenarios[name] as Scenario<unknown>)()))
    names.forEach((name, i) => outcomes.set(name, settled[i] as PromiseSettledResult<unknown>))
  })
  const outcomeOf = (name: string): unknown => {
    const outcome = outcomes.get(name)
    if (outcome === undefined) throw new Error(`The scenario ${name} did not run`)
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  }
  return Object.fromEntries(Object.keys(scenarios).map((name) => [name, () => outcomeOf(name)])) as {
    readonly [K in keyof T]: () => Awaited<ReturnType<T[K]>>
  }
}
