import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ResQueueError, type ErrorCode } from '../../src/errors.ts'
import { ROOT } from '../support/process.ts'

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')
const GUIDES = [
  ...readdirSync(ROOT).filter((file) => file.endsWith('.md')),
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
  'charts/resqueue/README.md',
  'charts/resqueue-crds/README.md',
  'deploy/README.md',
]

/** A heading's anchor, as GitHub makes it. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-')

test('links in the guides lead somewhere', () => {
  const broken = GUIDES.flatMap((guide) => {
    const text = read(guide).replaceAll(/^```.*?^```/gms, '')
    return Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), ([, link = '']) => link)
      .filter((link) => !/^https?:/.test(link))
      .filter((link) => {
        const [path = '', heading] = link.split('#')
        const file = path === '' ? guide : join(dirname(guide), path)
        if (!existsSync(join(ROOT, file))) return true
        if (heading === undefined) return false
        return !Array.from(read(file).matchAll(/^#+ (.*)$/gm), ([, title = '']) => anchor(title)).includes(heading)
      })
      .map((link) => `${guide}: ${link}`)
  })
  expect(broken).toEqual([])
})

/**
 * The TypeScript samples of the guides, by the file that a first line `// jobs/send-email.ts` names, else by guide and
 * number.
 */
function samples(): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const guide of GUIDES.toSorted((a, b) => Number(b === 'README.md') - Number(a === 'README.md'))) {
    for (const [i, [, code = '']] of [...read(guide).matchAll(/^```ts\n(.*?)^```/gms)].entries()) {
      const named = /^\/\/ (\S+\.ts)$/m.exec(code)?.[1]
      const file = named === undefined || found.has(named) ? `${guide.replaceAll(/\W/g, '-')}-${i}.ts` : named
      found.set(file, code)
    }
  }
  return found
}

test('the samples of the guides compile as they stand', () => {
  mkdirSync(join(ROOT, 'build'), { recursive: true })
  const folder = mkdtempSync(join(ROOT, 'build', 'samples-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const files = samples()
  for (const [file, code] of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), code)
  }
  const settings = {
    extends: '../../tsconfig.json',
    include: ['.'],
    compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings))
  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  const { stdout } = spawnSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8' })
  expect(stdout).toBe('')
  expect(files.size).toBeGreaterThan(10)
})

test('docs/jobs.md names every call of the client', () => {
  const groups = Array.from(
    read('src/queue/groups.ts').matchAll(/^ {2}readonly (\w+): \{\n(.*?)^ {2}\}/gms),
    ([, group, body = '']) => [group, Array.from(body.matchAll(/^ {4}readonly (\w+):/gm), ([, call]) => call)],
  )
  const told = Array.from(
    read('docs/jobs.md').matchAll(/^\| `queue\.(\w+)` \| `([\w ]+)` \|$/gm),
    ([, group, calls = '']) => [group, calls.split(' ')],
  )
  expect(groups.length).toBeGreaterThan(5)
  expect(told).toEqual(groups)
})

test('docs/errors.md has every error code with the exit code that it gives', () => {
  const declared = Array.from(read('src/errors.ts').matchAll(/^ {2}\| '([A-Z_]+)'$/gm), ([, code]) => code as ErrorCode)
  const told = Array.from(read('docs/errors.md').matchAll(/^\| `([A-Z_]+)` \| (\d+) \|/gm), ([, code, exit]) => [
    code,
    Number(exit),
  ])
  expect(declared.length).toBeGreaterThan(5)
  expect(Object.fromEntries(told)).toEqual(
    Object.fromEntries(declared.map((code) => [code, new ResQueueError(code, '').exitCode])),
  )
})
