import { expect, test } from 'vitest'
import { createLogger } from '../../src/log.ts'
import { logFields } from '../../src/worker/logfields.ts'

test('an error that a job logs keeps its class under whatever name, and its own properties', () => {
  const lines: string[] = []
  const log = createLogger({ level: 'info', destination: { write: (line) => void lines.push(line) } })
  const error = Object.assign(new RangeError('too far'), { code: 'E_FAR' })
  log.info(JSON.parse(logFields({ err: error, error, list: [error] })) as object, 'odd')
  const shown = { type: 'RangeError', message: 'too far', code: 'E_FAR', backtrace: expect.arrayContaining([]) }
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ err: shown, error: shown, list: [shown] })
})
