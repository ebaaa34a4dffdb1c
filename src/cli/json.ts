import { ResQueueError } from '../errors.ts'
import { MAX_DEPTH } from '../queue/encode.ts'

/**
 * Parses JSON that somebody typed. Throws `USAGE` with a phrase. Numbers that JavaScript cannot hold exactly are
 * refused: a job must not get another number than its caller wrote.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text, exact)
  } catch (error) {
    if (error instanceof ResQueueError) throw error
    if (error instanceof RangeError)
      throw new ResQueueError('USAGE', `it is nested deeper than ${MAX_DEPTH} levels`, { cause: error })
    throw new ResQueueError('USAGE', 'it is not JSON', { cause: error })
  }
}

function exact(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || context?.source === undefined) return value
  if (!Number.isFinite(value) || (/^-?\d+$/.test(context.source) && !Number.isSafeInteger(value))) {
    throw new ResQueueError('USAGE', `${context.source} has more digits than a number keeps; write it as a string`)
  }
  return value
}
