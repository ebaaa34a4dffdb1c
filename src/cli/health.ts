import { get as request } from 'node:http'
import { port as servedPort } from '../config.ts'
import type { Option } from '../option.ts'
import { messageOf } from '../errors.ts'
import { printable } from '../printable.ts'
import { duration, integer, words, yesNo } from '../values.ts'
import { output } from './options.ts'
import type { Context, Verb } from './verb.ts'

const port: Option<number> = {
  ...servedPort,
  about: 'Port of the worker.',
  // The worker's own 0 stands for a port that only its log names.
  read: integer({ min: 1, max: 65_535 }),
}

const host: Option<string> = {
  flag: 'host',
  value: 'HOST',
  fallback: '127.0.0.1',
  shown: '127.0.0.1',
  about: 'Host of the worker.',
  read: words,
}

const ready: Option<boolean> = {
  flag: 'ready',
  fallback: false,
  about: 'Check readiness (/readyz) instead of health (/healthz).',
  read: yesNo,
}

const patience: Option<number> = {
  flag: 'timeout',
  value: 'TIME',
  fallback: 2000,
  shown: '2s',
  about: 'How long to wait for the answer.',
  read: duration({ min: 1 }),
}

/** One check as the worker answered it. */
interface Check {
  readonly name: string
  readonly ok: boolean
  readonly problem: string | null
}

async function health({ get, output: out }: Context): Promise<number> {
  const url = `http://${bracketed(get(host))}:${get(port)}/${get(ready) ? 'readyz' : 'healthz'}?verbose`
  let answer: { status: number; text: string }
  try {
    answer = await fetchText(url, get(patience))
  } catch (error) {
    if (out.json) out.done('', { healthy: false, url, error: messageOf(error), checks: [] })
    else out.note(`resqueue: no worker answers at ${url}: ${messageOf(error)}`)
    return 1
  }
  const checks = answer.text.split('\n').flatMap(checkOf)
  const healthy = answer.status === 200
  if (out.json)
    out.done('', { healthy, url, error: healthy || checks.length > 0 ? null : `HTTP ${answer.status}`, checks })
  else {
    for (const check of checks)
      out.line(
        printable(
          `${check.ok ? 'ok    ' : 'failed'}  ${check.name}${check.problem === null ? '' : `: ${check.problem}`}`,
        ),
      )
    out.line(healthy ? 'healthy' : checks.length > 0 ? 'not healthy' : `not healthy: ${url} answered ${answer.status}`)
  }
  return healthy ? 0 : 1
}

function checkOf(line: string): Check[] {
  const match = /^\[([+-])\](\S+) (?:ok|failed(?:: (.*))?)$/.exec(line)
  return match ? [{ name: match[2] as string, ok: match[1] === '+', problem: match[3] ?? null }] : []
}

function fetchText(url: string, timeoutMs: number): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const late = new Error(`no answer within ${timeoutMs / 1000} s`)
    const asked = request(url, { agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        text += part
        if (text.length > 100_000) asked.destroy(new Error('the answer is not one of a worker'))
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      response.on('error', reject)
    })
    asked.on('error', (error) => reject(error.name === 'AbortError' || error.name === 'TimeoutError' ? late : error))
  })
}

function bracketed(name: string): string {
  return name.includes(':') && !name.startsWith('[') ? `[${name}]` : name
}

export const verbs: readonly Verb[] = [
  {
    name: '',
    summary: 'check whether a worker is healthy',
    operands: '',
    count: [0, 0],
    about:
      'Asks the worker that listens on --port, prints its checks, and exits with 0 when it is healthy, else 1. Needs no Redis.',
    examples: ['health', 'health --port 9091 --ready -o json'],
    options: [port, host, ready, patience, output],
    redis: false,
    run: health,
  },
]
