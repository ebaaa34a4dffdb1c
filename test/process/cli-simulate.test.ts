import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../support/process.ts'
import { own } from '../support/scope.ts'
import { run } from './cli.ts'

const SPEC = join(ROOT, 'examples/scalers/mailers.yaml')
const TRACE = join(ROOT, 'examples/traces/burst.csv')
const MODELS = ['resqueue', 'keda-default', 'keda-tuned', 'hpa-default', 'hpa-tuned']

function place(): string {
  const dir = mkdtempSync(join(tmpdir(), 'resqueue-simulate-'))
  own(dir, () => rmSync(dir, { recursive: true, force: true }))
  return dir
}

test('prints a table, and JSON with an object for each model', async () => {
  const table = await run(['simulate', '--trace', TRACE, '--spec', SPEC])
  expect(table.code).toBe(0)
  expect(
    table.stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]),
  ).toEqual(['model', ...MODELS])

  const plot = join(place(), 'plot.svg')
  const json = await run(['simulate', '--trace', TRACE, '--spec', SPEC, '-o', 'json', '--plot', plot])
  expect(json).toMatchObject({ code: 0, stderr: '' })
  const answer = JSON.parse(json.stdout) as Record<string, unknown>[]
  expect(answer.map(({ model }) => model)).toEqual(MODELS)
  for (const report of answer) {
    expect(report).toMatchObject({
      startedWithinTarget: expect.any(Number),
      waitSeconds: {
        p50: expect.any(Number),
        p95: expect.any(Number),
        p99: expect.any(Number),
        max: expect.any(Number),
      },
      podMinutes: expect.any(Number),
      changes: expect.any(Number),
      busyPodsKilled: expect.any(Number),
    })
  }
  expect(readFileSync(plot, 'utf8')).toMatch(/^<svg [^]*<\/svg>\n$/)
})

test('takes slots and the start time of pods', async () => {
  const wait = async (...words: string[]): Promise<number> => {
    const { stdout } = await run(['simulate', '--trace', TRACE, '--spec', SPEC, '-o', 'json', ...words])
    const [ours] = JSON.parse(stdout) as { waitSeconds: { max: number } }[]
    return ours?.waitSeconds.max ?? Number.NaN
  }
  expect(await wait('--pod-start', '2')).toBeLessThan(15)
  expect(await wait('--pod-start', '60s', '--slots', '8')).toBeGreaterThan(60)
})

test('says what is wrong and where, with 64 for the command line and 78 for the files', async () => {
  const dir = place()
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text)
    return join(dir, name)
  }
  const spec = file('spec.yaml', readFileSync(SPEC, 'utf8').replace('maxReplicas: 50', 'maxReplicas: -1'))
  const trace = file('trace.csv', 'second,arrivals,service_seconds\n0,1,1\n1,x,1\n')
  const cases: readonly (readonly [words: readonly string[], code: number, text: string])[] = [
    [['--spec', SPEC], 64, '--trace FILE is missing'],
    [['--trace', TRACE], 64, '--spec FILE is missing'],
    [['--trace', TRACE, '--spec', SPEC, '--slots', '0'], 64, '--slots: 0 is too small'],
    [['--trace', join(dir, 'none'), '--spec', SPEC], 78, 'cannot be read'],
    [['--trace', trace, '--spec', SPEC], 78, `${trace}:3: arrivals must be a number from 0, not "x"`],
    [['--trace', TRACE, '--spec', spec], 78, `${spec}:13: spec.maxReplicas: must be a whole number from 1`],
    [['--trace', TRACE, '--spec', SPEC, '--plot', join(dir, 'no', 'plot.svg')], 78, 'cannot be written'],
  ]
  for (const [words, code, text] of cases) {
    const ran = await run(['simulate', ...words])
    expect(ran).toMatchObject({ code, stderr: expect.stringContaining(text) })
    expect(ran.stderr.trim()).toMatch(/^(.*\n)?resqueue: [^\n]*$/)
  }
})
