/**
 * What a test started ends with it. Starters register how their thing is ended; `setup.ts` ends everything after each
 * test, last started first, and what was started outside a test (in `beforeAll`) after the file.
 */
interface Owned {
  readonly what: string
  readonly end: () => unknown
}

const scopes: Owned[][] = [[]]

/** Registers `end` with the running test, or with the file outside one. Ends may run twice: make them idempotent. */
export function own(what: string, end: () => unknown): void {
  scopes.at(-1)?.push({ what, end })
}

export function openScope(): void {
  scopes.push([])
}

/** Ends what the innermost scope owns. Goes on after a failure and throws them all. */
export async function closeScope(): Promise<void> {
  const owned = scopes.length > 1 ? (scopes.pop() ?? []) : (scopes[0] ?? []).splice(0)
  const failures: unknown[] = []
  for (const { what, end } of owned.reverse()) {
    try {
      await end()
    } catch (error) {
      failures.push(new Error(`Ending ${what} failed`, { cause: error }))
    }
  }
  if (failures.length === 1) throw failures[0]
  if (failures.length > 1) throw new AggregateError(failures, `Ending ${failures.length} things failed`)
}
