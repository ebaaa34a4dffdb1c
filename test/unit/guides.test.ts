import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
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
