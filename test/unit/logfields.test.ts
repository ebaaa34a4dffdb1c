import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { createLogger } from '../../src/log.ts'
import { createTally } from '../../src/telemetry/tally.ts'
import { engineEvents } from '../../src/worker/engineevents.ts'
import { logFields } from '../../src/worker/logfields.ts'

test('an error that a job logs keeps its class under whatever name, and its own properties', () => {
  const lines: string[] = []
  const log = createLogger({ level: 'info', destination: { write: (line) => void lines.push(line) } })
  const error = Object.assign(new RangeError('too far'), { code: 'E_FAR' })
  log.info(JSON.parse(logFields({ err: error, error, list: [error] })) as object, 'odd')
  const shown = { type: 'RangeError', message: 'too far', code: 'E_FAR', backtrace: expect.arrayContaining([]) }
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ err: shown, error: shown, list: [shown] })
})

test("fields of a job that are named as the worker's own stand beside these", () => {
  const lines: string[] = []
  const log = createLogger({ level: 'info', destination: { write: (line) => void lines.push(line) } })
  const job = { id: 'an-id', queue: 'mail', class: 'Send', payload: '{}', attempt: 1 }
  const fields = {
    to: 'a',
    level: 'fatal',
    time: 12,
    msg: 'spoofed',
    job: 'other',
    queue: 'q',
    class: 'C',
    job_time: 3,
  }
  engineEvents(log, createTally(200).observer).log(job, 'warn', 'hello', fields)
  const [time] = /"time":"[^"]+"/.exec(lines[0] ?? '') ?? []
  const given = '"to":"a","job_level":"fatal","job_job_time":12,"job_msg":"spoofed","job_job":"other"'
  expect(lines).toEqual([
    `{"level":"warn",${time},"job":"an-id","queue":"mail","class":"Send",${given},"job_queue":"q","job_class":"C","job_time":3,"msg":"hello"}\n`,
  ])
})

test('a log for people has a line for each message, whose texts and names cannot play with a terminal', async () => {
  const hostile = '\u001b[2J\r\n\u009b2J\u202e\\"\u200b'
  const written = Promise.withResolvers<string>()
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      written.resolve(chunk.toString())
      done()
    },
  })
  const log = createLogger({ level: 'info', pretty: true, destination })
  log.info({ [hostile]: hostile }, hostile)
  // eslint-disable-next-line no-control-regex -- the colours are pino's own
  const line = (await written.promise).replaceAll(/\u001b\[\d+m/g, '')
  expect(line.trimEnd()).toMatch(/^[\x20-\x7e]*$/)
  expect(line).toContain('INFO: \\u001b[2J\\r\\n\\u009b2J\\u202e\\"\\u200b')
})
