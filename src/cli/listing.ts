import type { Column, Output } from './output.ts'

/** Lists the first `wanted` of what is found, and says how many they are and whether there are more. */
export async function listFirst<Found, Row>(
  out: Output,
  columns: readonly Column<Row>[],
  found: AsyncIterable<Found>,
  wanted: number,
  rowOf: (one: Found) => Row,
): Promise<{ readonly shown: number; readonly more: boolean }> {
  let shown = 0
  let more = false
  async function* rows(): AsyncGenerator<Row> {
    for await (const one of found) {
      more = shown >= wanted
      if (more) return
      shown++
      yield rowOf(one)
    }
  }
  await out.stream(columns, rows())
  return { shown, more }
}
