import { enqueuedAt, parsePayload } from '../queue/payload.ts'
import { peekQueue, queueSize } from '../queue/queues.ts'
import type { Column } from './output.ts'
import { isoOf } from './text.ts'
import type { Context } from './verb.ts'

interface Row {
  readonly index: number
  readonly class: string | null
  readonly id: string | null
  readonly enqueued_at: string | null
  /** Why no job can be read from it. */
  readonly problem: string | null
  /** As it stands in Redis. */
  readonly payload: string
}

const columns: readonly Column<Row>[] = [
  { title: 'INDEX', right: true, of: (row) => row.index },
  { title: 'ENQUEUED AT', of: (row) => row.enqueued_at },
  { title: 'CLASS', of: (row) => row.class },
  { title: 'ID', of: (row) => row.id },
  { title: 'ARGS', of: (row) => argsOf(row) },
]

export async function peek({ operands, output, store: open }: Context, limit: number, offset: number): Promise<number> {
  const store = await open()
  const queue = operands[0] as string
  const size = await queueSize(store, queue)
  const from = offset < 0 ? Math.max(0, size + offset) : offset
  const raws = await peekQueue(store, queue, from, limit)
  output.list(
    columns,
    raws.map((raw, i) => rowOf(raw, from + i)),
  )
  if (raws.length < size) output.note(`${raws.length} of ${size} jobs`)
  return 0
}

function rowOf(raw: string, index: number): Row {
  const parsed = parsePayload(raw)
  if (!parsed.ok) return { index, class: null, id: null, enqueued_at: null, problem: parsed.reason, payload: raw }
  const { class: name, id } = parsed.payload
  return {
    index,
    class: name,
    id: id || null,
    enqueued_at: isoOf(enqueuedAt(parsed.payload)),
    problem: null,
    payload: raw,
  }
}

function argsOf({ payload, problem }: Row): string {
  if (problem !== null) return `(no job: ${problem}) ${payload}`
  const parsed = parsePayload(payload)
  return parsed.ok ? JSON.stringify(parsed.payload.args) : ''
}
