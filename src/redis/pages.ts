import type { Patience, Store } from './store.ts'

/** What one call is given or asked for at most: no more than some milliseconds of Redis' time. */
export const PAGE = 1000

/** A list in pieces of at most `PAGE`, or `size`. */
export function* pagesOf<T>(list: readonly T[], size: number = PAGE): Generator<readonly T[]> {
  for (let at = 0; at < list.length; at += size) yield list.slice(at, at + size)
}

/**
 * The members of a set, or the fields and values of a hash, some at a time: nothing unbounded is read whole. One may
 * come twice.
 */
export async function* scan(
  store: Pick<Store, 'command'>,
  command: 'sscan' | 'hscan',
  key: string,
  patience?: Patience,
): AsyncGenerator<readonly string[]> {
  let cursor = '0'
  do {
    const reply = await store.command(command, [key, cursor, 'COUNT', 500], patience)
    const [next, page] = reply as [string, string[]]
    if (page.length > 0) yield page
    cursor = next
  } while (cursor !== '0')
}
