import { isUtf8 } from 'node:buffer'
import { createReadStream, statSync } from 'node:fs'
import { addAbortSignal } from 'node:stream'
import { messageOf, ResQueueError } from '../errors.ts'
import { isObject } from '../json.ts'
import { FIELDS, prepare, type EnqueueOptions, type JobRequest } from '../queue/enqueue.ts'
import { moment } from '../values.ts'
import { plural } from '../wording.ts'
import { parseJson } from './json.ts'
import type { Context } from './verb.ts'

/** What a line may leave out. */
export type Defaults = EnqueueOptions & { readonly queue?: string; readonly class?: string }

interface Line {
  readonly number: number
  readonly request: JobRequest
}

const BATCH = 1000

/** Enqueues the jobs of an NDJSON file, or of standard input, and says how many. */
export async function enqueueFrom(context: Context, file: string, defaults: Defaults): Promise<number> {
  const { output, signal } = context
  // A file is read twice: a bad line must not leave half of it enqueued. A pipe can be read but once.
  let total: number | undefined
  if (isFile(file)) {
    total = 0
    for await (const line of requestsOf(file, defaults, signal)) {
      if (line === undefined) continue
      check(line)
      total++
    }
  }
  const client = await context.client()
  const progress = context.progress('Enqueued')
  let enqueued = 0
  const send = async (batch: readonly Line[]): Promise<void> => {
    try {
      await client.enqueueBulk(batch.map((line) => line.request))
    } catch (error) {
      throw explain(error, batch, enqueued)
    }
    enqueued += batch.length
    progress.update(enqueued, total)
  }
  try {
    let batch: Line[] = []
    for await (const line of requestsOf(file, defaults, signal)) {
      if (line) batch.push(line)
      // Whoever feeds a pipe line by line is not to wait until a thousand are there.
      const due = line ? batch.length >= BATCH : total === undefined && batch.length > 0
      if (!due) continue
      await send(batch)
      batch = []
    }
    if (!signal.aborted && batch.length > 0) await send(batch)
  } catch (error) {
    throw error instanceof ResQueueError && !('enqueued' in error.data) ? explain(error, [], enqueued) : error
  } finally {
    progress.end()
  }
  if (total !== undefined && enqueued < total && !signal.aborted)
    throw new ResQueueError('USAGE', `${file} had ${plural(total, 'job')} and has fewer now: ${enqueued} were enqueued`)
  output.done(`${plural(enqueued, 'job')} enqueued${signal.aborted ? '; interrupted' : ''}`, {
    enqueued,
    interrupted: signal.aborted,
  })
  return 0
}

function isFile(file: string): boolean {
  return file !== '-' && (statSync(file, { throwIfNoEntry: false })?.isFile() ?? true)
}

/** Yields undefined where no more has arrived for the moment. */
async function* requestsOf(file: string, defaults: Defaults, signal: AbortSignal): AsyncGenerator<Line | undefined> {
  let number = 0
  for await (const bytes of linesOf(file, signal)) {
    if (bytes === undefined) {
      yield undefined
      continue
    }
    const text = textOf(bytes, ++number)
    if (text.trim() !== '') yield { number, request: requestOf(text, number, defaults) }
  }
}

/**
 * Lines of a text, each byte a character. Only a line feed ends one: the other ends of lines that Unicode knows, where
 * readline cuts, may stand in JSON as they are. Undefined where no more has arrived for the moment. None come any more
 * once the signal has aborted.
 */
async function* linesOf(file: string, signal: AbortSignal): AsyncGenerator<string | undefined> {
  const input = addAbortSignal(signal, file === '-' ? process.stdin : createReadStream(file))
  let parts: string[] = []
  try {
    for await (const chunk of input) {
      const [first = '', ...others] = (chunk as Buffer).toString('latin1').split('\n')
      parts.push(first)
      for (const next of others) {
        yield parts.join('')
        parts = [next]
      }
      await new Promise((resolve) => setImmediate(resolve))
      if (input.readableLength === 0) yield undefined
    }
  } catch (error) {
    if (signal.aborted) return
    throw new ResQueueError('USAGE', `${file} cannot be read: ${messageOf(error)}`, { cause: error })
  }
  yield parts.join('')
}

/** The decoders of Node put U+FFFD where bytes are none: the job would be another one than its file says. */
function textOf(line: string, number: number): string {
  const bytes = Buffer.from(line, 'latin1')
  if (!isUtf8(bytes)) throw bad(`line ${number}: it is not UTF-8`)
  return bytes.toString()
}

function requestOf(text: string, number: number, defaults: Defaults): JobRequest {
  try {
    const line = parseJson(number === 1 ? text.replace(/^\ufeff/, '') : text)
    if (!isObject(line)) throw bad('it is not a JSON object')
    const unknown = Object.keys(line).find((field) => !FIELDS.has(field))
    if (unknown !== undefined) throw bad(`it has an unknown field "${unknown}"`)
    if (line['args'] !== undefined && !Array.isArray(line['args']))
      throw bad('"args" must be a list; one object is written [{…}]')
    if (line['track'] !== undefined && typeof line['track'] !== 'boolean') throw bad('"track" must be true or false')
    const request: Record<string, unknown> = { ...defaults, ...line }
    if (line['at'] !== undefined) delete request['in']
    else if (line['in'] !== undefined) delete request['at']
    if (line['at'] !== undefined && line['in'] !== undefined) throw bad('it has both "at" and "in"')
    if (typeof line['at'] === 'string') request['at'] = new Date(moment(line['at']))
    if (typeof request['queue'] !== 'string' || request['queue'] === '') throw bad('it names no "queue"')
    if (typeof request['class'] !== 'string' || request['class'] === '') throw bad('it names no "class"')
    return request as unknown as JobRequest
  } catch (error) {
    throw atLine(number, error)
  }
}

/** Refuses what the client would: where that is known before the first job is sent, none is. */
function check({ number, request }: Line): void {
  try {
    prepare(request, undefined)
  } catch (error) {
    throw atLine(number, error)
  }
}

function atLine(number: number, error: unknown): ResQueueError {
  return new ResQueueError('USAGE', `line ${number}: ${messageOf(error)}`, { cause: error })
}

/** Names the line, and says how many jobs are in. */
function explain(error: unknown, batch: readonly Line[], before: number): unknown {
  if (!(error instanceof ResQueueError)) return error
  const { enqueued: here, index } = error.data
  const enqueued = before + (typeof here === 'number' ? here : 0)
  const line = typeof index === 'number' ? batch[index] : undefined
  // What the client puts around its error counts the items of one call.
  const { message } = (here ?? index) !== undefined && error.cause instanceof Error ? error.cause : error
  const said = `${line ? `line ${line.number}: ` : ''}${message.replace(/(\. Nothing was enqueued)?\.$/, '')}`
  const state = enqueued === 0 ? 'Nothing was enqueued' : `${plural(enqueued, 'job')} had been enqueued before`
  return new ResQueueError(error.code, `${said}. ${state}`, { cause: error, data: { ...error.data, enqueued } })
}

function bad(phrase: string): ResQueueError {
  return new ResQueueError('USAGE', phrase)
}
