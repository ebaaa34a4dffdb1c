import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../support/process.ts'

/** Arrows only downward: a room may import from rooms of a lower floor. `bin` and `index` are rooms of one file. */
const FLOORS: Record<string, number> = {
  bin: 6,
  cli: 5,
  worker: 4,
  controller: 4,
  telemetry: 3,
  index: 2.5,
  queue: 2,
  redis: 1,
  base: 0,
}

/** Each package, and node:child_process, has one door. */
const DOORS: Record<string, RegExp> = {
  ioredis: /^redis\//,
  'prom-client': /^telemetry\//,
  pino: /^log\.ts$/,
  'pino-pretty': /^log\.ts$/,
  '@kubernetes/client-node': /^controller\/kube\.ts$/,
  yaml: /^controller\/yaml\.ts$/,
  'node:child_process': /^worker\//,
}

/** Where job code runs: loaded for every job or kept in memory twice, so it imports nothing heavy, at any remove. */
const LIGHT = ['worker/job.ts', 'worker/zygote.ts', 'worker/child.ts']
const LIGHT_ROOMS = new Set(['worker', 'base'])

interface Import {
  readonly from: string
  readonly to: string
  /** Erased by the compiler. */
  readonly typeOnly: boolean
  /** `import()`: loaded only when it is reached. */
  readonly lazy: boolean
}

const SRC = join(ROOT, 'src')
const FILES = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
const STATEMENT = /^\s*(?:import|export)\s+(type\s)?(?:[^'"`;]*?\sfrom\s+)?'([^']+)'/gm
const DYNAMIC = /\bimport\(\s*'([^']+)'\s*\)/g
const IMPORTS = FILES.flatMap(importsOf)

function importsOf(file: string): Import[] {
  const text = readFileSync(join(SRC, file), 'utf8')
  const resolve = (specifier: string): string =>
    specifier.startsWith('.') ? relative(SRC, join(SRC, dirname(file), specifier)) : specifier
  return [
    ...Array.from(text.matchAll(STATEMENT), ([, type, to = '']) => ({ to, typeOnly: type !== undefined, lazy: false })),
    ...Array.from(text.matchAll(DYNAMIC), ([, to = '']) => ({ to, typeOnly: false, lazy: true })),
  ].map((found) => ({ ...found, from: file, to: resolve(found.to) }))
}

function roomOf(file: string): string {
  if (file.includes('/')) return file.slice(0, file.indexOf('/'))
  return file === 'bin.ts' || file === 'index.ts' ? file.slice(0, -3) : 'base'
}

const isOurs = (target: string): boolean => target.endsWith('.ts')
const isBuiltin = (target: string): boolean => target.startsWith('node:')

/** Everything that loading `file` loads, through any number of files. */
function reach(file: string, follow: (found: Import) => boolean): Map<string, string> {
  const via = new Map<string, string>([[file, file]])
  for (const [at, path] of via) {
    for (const found of IMPORTS.filter((i) => i.from === at && !i.typeOnly && follow(i))) {
      if (!via.has(found.to)) via.set(found.to, `${path} > ${found.to}`)
    }
  }
  return via
}

test('rooms import only from the rooms below them', () => {
  const wrong = IMPORTS.filter(({ from, to, typeOnly, lazy }) => {
    if (!isOurs(to) || roomOf(from) === roomOf(to)) return false
    if (lazy && roomOf(from) === 'cli') return false // a role, once it is known
    if (typeOnly && roomOf(from) === 'telemetry' && roomOf(to) === 'worker') return false // types of its events
    return (FLOORS[roomOf(from)] ?? -1) <= (FLOORS[roomOf(to)] ?? 9)
  })
  expect(wrong.map(({ from, to }) => `${from} > ${to}`)).toEqual([])
})

test('every package comes in by its own door', () => {
  const guarded = IMPORTS.filter(({ to }) => !isOurs(to) && (!isBuiltin(to) || to in DOORS))
  const wrong = guarded.filter(({ from, to }) => !DOORS[to]?.test(from))
  expect(wrong.map(({ from, to }) => `${from} > ${to}`)).toEqual([])
})

test('every dependency has a door, and no builtin is imported without node:', () => {
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  expect(Object.keys(dependencies).filter((name) => !(name in DOORS))).toEqual([])
  expect(Object.entries(dependencies).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
  expect(IMPORTS.filter(({ to }) => builtinModules.includes(to) && !isBuiltin(to))).toEqual([])
})

test('what runs beside job code loads no package and no room but its own', () => {
  const heavy = LIGHT.filter((file) => FILES.includes(file)).flatMap((file) =>
    [...reach(file, () => true)].filter(([to]) => (isOurs(to) ? !LIGHT_ROOMS.has(roomOf(to)) : !isBuiltin(to))),
  )
  expect(heavy.map(([, path]) => path)).toEqual([])
})

test('the client module loads neither worker nor telemetry nor command line', () => {
  const allowed = new Set(['index', 'queue', 'redis', 'base'])
  const wrong = [...reach('index.ts', () => true)].filter(([to]) => isOurs(to) && !allowed.has(roomOf(to)))
  expect(wrong.map(([, path]) => path)).toEqual([])
})

test('the executable loads nothing but Node before it knows its role', () => {
  const eager = [...reach('bin.ts', (found) => !found.lazy)].filter(([to]) => !isOurs(to) && !isBuiltin(to))
  expect(eager.map(([, path]) => path)).toEqual([])
})

test('nothing of ours asks Redis for KEYS or to FLUSH', () => {
  const lua = readdirSync(join(ROOT, 'lua'), { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.lua'))
  const sources = [...FILES.map((f) => join(SRC, f)), ...lua.map((f) => join(ROOT, 'lua', f))]
  const asks = /call\(\s*['"](keys|flush\w*)['"]|\.(keys|flushall|flushdb)\(\s*['"`]|command\(\s*'(keys|flush\w*)'/i
  expect(sources.filter((file) => asks.test(readFileSync(file, 'utf8')))).toEqual([])
})
