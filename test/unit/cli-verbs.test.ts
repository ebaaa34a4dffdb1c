import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { COMMANDS, DOCTOR_COMMANDS } from '../../src/cli/checks/acl.ts'
import { families } from '../../src/cli/families.ts'
import { nameOf } from '../../src/cli/verb.ts'
import { optionsOf, verbHelp } from '../../src/cli/help.ts'
import { resolve } from '../../src/cli/resolve.ts'
import type { Verb } from '../../src/cli/verb.ts'
import { nearest } from '../../src/values.ts'
import type { RetryOptions } from '../../src/retry.ts'
import { retryPolicy } from '../../src/worker/policy.ts'
import { ROOT } from '../support/process.ts'

const all = await Promise.all(
  families.map(async (family) => (await family.load()).map((verb) => ({ family, verb, name: nameOf(family, verb) }))),
).then((lists) => lists.flat())
const docs = readFileSync(join(ROOT, 'docs/cli.md'), 'utf8')

const flagsOf = (verb: Verb): string[] =>
  optionsOf(verb)
    .flatMap((option) => [option.flag, option.short ?? ''])
    .filter((name) => name !== '')
const longest = (text: string): number => Math.max(...text.split('\n').map((line) => line.length))

test('the retry that the help of enqueue shows is one that is taken', () => {
  const enqueue = all.find(({ name }) => name === 'enqueue')
  const option = enqueue?.verb.options.find(({ flag }) => flag === 'retry')
  const [shown = ''] = /\{.*\}/.exec(option?.about ?? '') ?? []
  expect(retryPolicy(JSON.parse(shown) as RetryOptions)).toMatchObject({
    attempts: 5,
    delaysMs: [1000, 10_000, 60_000],
  })
})

test('every verb has a help with its examples and lines that fit a terminal', () => {
  const wrong = all.filter(({ family, verb }) => {
    const help = verbHelp(family, verb)
    return !verb.examples.every((example) => help.includes(`  resqueue ${example}\n`)) || longest(help) > 130
  })
  expect(wrong.map(({ name }) => name)).toEqual([])
})

test('on a terminal of 80 columns no line of a help is longer, but its title and its examples', () => {
  const long = all.flatMap(({ family, verb }) =>
    verbHelp(family, verb, 80)
      .split('\n')
      .slice(1)
      .filter((line) => line.length > 80 && !line.startsWith('  resqueue ')),
  )
  expect(long).toEqual([])
})

test('no verb has two options of one name', () => {
  const wrong = all.filter(({ verb }) => {
    const names = flagsOf(verb)
    return new Set(names).size < names.length
  })
  expect(wrong.map(({ name }) => name)).toEqual([])
})

test('docs/cli.md tells of every verb', () => {
  expect(all.filter(({ name }) => !docs.includes(`resqueue ${name}`)).map(({ name }) => name)).toEqual([])
})

test('docs/cli.md tells of every finding of the doctor', () => {
  const checks = join(ROOT, 'src/cli/checks')
  const sources = [...readdirSync(checks).map((name) => join(checks, name)), join(ROOT, 'src/cli/doctor.ts')]
  const ids = sources.flatMap((file) =>
    Array.from(readFileSync(file, 'utf8').matchAll(/\bid: '([\w-]+)'/g), ([, id = '']) => id),
  )
  expect(new Set(ids).size).toBeGreaterThan(25)
  expect(ids.filter((id) => !docs.includes(`\`${id}\``))).toEqual([])
})

test('the examples of the help can be parsed', () => {
  const wrong = all.flatMap(({ verb, name }) =>
    verb.examples.filter((example) => {
      const words =
        (example.split(/ [|>] /)[0] as string).match(/'[^']*'|\S+/g)?.map((word) => word.replaceAll("'", '')) ?? []
      const verbWords = name.split(' ').length
      const { operands } = resolve(optionsOf(verb), words.slice(verbWords), {})
      const [least, most] = verb.count
      return words.slice(0, verbWords).join(' ') !== name || operands.length < least || operands.length > most
    }),
  )
  expect(wrong).toEqual([])
})

test('all results can be had as JSON, and listings take --limit', () => {
  const others = all.filter(({ name }) => !['work', 'control', 'completion'].includes(name))
  expect(others.filter(({ verb }) => !flagsOf(verb).includes('output')).map(({ name }) => name)).toEqual([])
  const listings = all.filter(({ verb }) => verb.name === 'ls')
  expect(listings.filter(({ verb }) => !flagsOf(verb).includes('limit')).map(({ name }) => name)).toEqual([])
})

test('what destroys or moves many takes --yes', () => {
  const careful = all.filter(({ verb }) => ['rm', 'dequeue', 'release'].includes(verb.name) || verb.name === 'retry')
  expect(careful.map(({ name }) => name)).toHaveLength(8)
  expect(careful.filter(({ verb }) => !flagsOf(verb).includes('yes'))).toEqual([])
})

test('no verb but work and control loads the worker, the metrics, the log or, before it needs it, ioredis', () => {
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
  const light = readdirSync(join(src, 'cli')).filter(
    (name) => name.endsWith('.ts') && name !== 'work.ts' && name !== 'control.ts',
  )
  const heavy = light.flatMap((file) =>
    [...loads(join(src, 'cli', file))]
      .map((path) => path.replace(`${src}/`, ''))
      .filter((path) => /^(ioredis|pino|prom-client)$|^(telemetry|worker)\/(?!identity\.ts)/.test(path))
      .map((path) => `${file} > ${path}`),
  )
  expect(heavy).toEqual([])
})

test('the ACL rule names every command that scripts call and sources send, and no other', () => {
  const used = new Set<string>(['auth', 'client|setname', 'eval', 'evalsha', 'info', 'ping', 'select', 'time'])
  const lua = (folder: string): string[] =>
    readdirSync(join(ROOT, 'lua', folder))
      .filter((name) => name.endsWith('.lua'))
      .map((name) => readFileSync(join(ROOT, 'lua', folder, name), 'utf8'))
  for (const text of [...lua('.'), ...lua('lib')]) {
    for (const [, name = ''] of text.matchAll(/\b(?:call|pcall_?|number|put)\('([A-Z]+)'/g))
      used.add(name.toLowerCase())
  }
  for (const file of readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )) {
    const text = readFileSync(join(ROOT, 'src', file), 'utf8')
    for (const [, name = ''] of text.matchAll(/(?:\.(?:command|waitThenRun)\(|\bscan\(store,)\s*'([a-z]+)'/g))
      used.add(name)
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
