import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { COMMANDS, DOCTOR_COMMANDS } from '../../src/cli/checks/acl.ts'
import { families, nameOf } from '../../src/cli/families.ts'
import { optionsOf, verbHelp } from '../../src/cli/help.ts'
import { resolve } from '../../src/cli/resolve.ts'
import { nearest } from '../../src/values.ts'
import { ROOT } from '../support/process.ts'

const all = await Promise.all(
  families.map(async (family) => (await family.load()).map((verb) => ({ family, verb, name: nameOf(family, verb) }))),
).then((lists) => lists.flat())
const docs = readFileSync(join(ROOT, 'docs/cli.md'), 'utf8')

test('every verb has a help with an example, no two options of one name, and a place in docs/cli.md', () => {
  for (const { family, verb, name } of all) {
    const help = verbHelp(family, verb)
    expect(help).toContain(`resqueue ${verb.examples[0]}`)
    expect(Math.max(...help.split('\n').map((line) => line.length)), name).toBeLessThanOrEqual(130)
    const names = optionsOf(verb).flatMap((option) =>
      option.flag === '' ? [] : [option.flag, ...(option.short ? [option.short] : [])],
    )
    expect(new Set(names).size, name).toBe(names.length)
    expect(docs).toContain(`resqueue ${name}`)
  }
})

test('the examples of the help can be parsed', () => {
  for (const { verb, name } of all) {
    for (const example of verb.examples) {
      const words =
        (example.split(/ [|>] /)[0] as string).match(/'[^']*'|\S+/g)?.map((word) => word.replaceAll("'", '')) ?? []
      const { operands } = resolve(optionsOf(verb), words.slice(name.split(' ').length), {})
      expect(words.slice(0, name.split(' ').length).join(' ')).toBe(name)
      expect(operands.length, example).toBeGreaterThanOrEqual(verb.count[0])
      expect(operands.length, example).toBeLessThanOrEqual(verb.count[1])
    }
  }
})

test('listings and results take -o and listings --limit', () => {
  for (const { verb, name } of all) {
    if (['work', 'completion'].includes(name)) continue
    expect(
      verb.options.map((option) => option.flag),
      name,
    ).toContain('output')
    if (verb.name === 'ls')
      expect(
        verb.options.map((option) => option.flag),
        name,
      ).toContain('limit')
  }
})

test('what destroys or moves many takes --yes', () => {
  const careful = all.filter(({ verb }) => ['rm', 'dequeue', 'release'].includes(verb.name) || verb.name === 'retry')
  expect(careful.map(({ name }) => name)).toHaveLength(8)
  for (const { verb } of careful) expect(verb.options.map((option) => option.flag)).toContain('yes')
})

test('no verb but work loads the worker, the metrics, the log or, before it needs it, ioredis', () => {
  const src = join(ROOT, 'src')
  const loads = (file: string, seen: Set<string> = new Set()): Set<string> => {
    if (seen.has(file)) return seen
    seen.add(file)
    if (!file.endsWith('.ts')) return seen
    for (const [, target = ''] of readFileSync(file, 'utf8').matchAll(
      /^\s*(?:import|export)\s(?!type\b)[^'"`;]*?'([^']+)'/gm,
    )) {
      loads(target.startsWith('.') ? join(dirname(file), target) : target, seen)
    }
    return seen
  }
  for (const file of readdirSync(join(src, 'cli')).filter((name) => name.endsWith('.ts') && name !== 'work.ts')) {
    const found = [...loads(join(src, 'cli', file))].map((path) => path.replace(`${src}/`, ''))
    expect(
      found.filter((path) => ['ioredis', 'pino', 'prom-client'].includes(path)),
      file,
    ).toEqual([])
    expect(
      found.filter((path) => /^(telemetry|worker)\/(?!identity\.ts)/.test(path)),
      file,
    ).toEqual([])
  }
})

test('the ACL rule names every command that scripts call and sources send, and no other', () => {
  const used = new Set<string>(['auth', 'client|setname', 'eval', 'evalsha', 'info', 'ping', 'select', 'time'])
  const lua = (folder: string): string[] =>
    readdirSync(join(ROOT, 'lua', folder))
      .filter((name) => name.endsWith('.lua'))
      .map((name) => readFileSync(join(ROOT, 'lua', folder, name), 'utf8'))
  for (const text of [...lua('.'), ...lua('lib')]) {
    for (const [, name = ''] of text.matchAll(/\b(?:call|pcall_?|number)\('([A-Z]+)'/g)) used.add(name.toLowerCase())
  }
  for (const file of readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )) {
    const text = readFileSync(join(ROOT, 'src', file), 'utf8')
    for (const [, name = ''] of text.matchAll(/\.command\(\s*'([a-z]+)'/g)) used.add(name)
    for (const [, name = ''] of text.matchAll(/\[\s*'([a-z]+)',\s*(?:store\.)?keys?\b/g)) used.add(name)
  }
  const first = (name: string): string => name.split('|')[0] as string
  const allowed = new Set([...COMMANDS, ...DOCTOR_COMMANDS].map(first))
  expect(
    [...used]
      .map(first)
      .filter((name) => !allowed.has(name))
      .sort(),
  ).toEqual([])
  expect(COMMANDS.filter((name) => !used.has(name) && !used.has(first(name)))).toEqual([])
})

test('a slip of the finger is understood', () => {
  const names = ['queues', 'jobs', 'concurrency', 'interval', 'redis', 'redis-db']
  expect(['queus', 'job', 'concurency', 'intervall', 'reids', 'conc'].map((word) => nearest(word, names))).toEqual([
    'queues',
    'jobs',
    'concurrency',
    'interval',
    'redis',
    'concurrency',
  ])
  expect(nearest('colour', names)).toBeUndefined()
})
