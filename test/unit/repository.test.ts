import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '../support/process.ts'

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

test('the lock file names no registry, so that any mirror serves', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, { resolved?: string }> }
  expect(Object.keys(packages).filter((path) => packages[path]?.resolved !== undefined)).toEqual([])
})

test('the lock file knows the packages of every platform, without which npm ci refuses it', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>
  }
  const names = new Set(Object.keys(packages).map((path) => path.replace(/^.*node_modules\//, '')))
  const wanted = Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}))
  expect(wanted.filter((name) => !names.has(name))).toEqual([])
})

test('the version of the package is the one that the changelog speaks of', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string }
  const changelog = read('CHANGELOG.md')
  expect(changelog.includes('## [Unreleased]') || changelog.includes(`## [${version}]`)).toBe(true)
})

const instructions = read('Dockerfile')
  .replaceAll(/^\s*#.*\n/gm, '')
  .replaceAll(/\\\n/g, ' ')
  .split('\n')
  .map((line) => line.trim())
  .filter(Boolean)
const all = (name: string): string[] => instructions.filter((line) => line.startsWith(`${name} `))
const lastStage = instructions.slice(instructions.findLastIndex((line) => line.startsWith('FROM ')))

test('the Dockerfile names its stages and takes its base from an argument', () => {
  expect(all('ARG')).toContain('ARG NODE_IMAGE=node:26-trixie-slim')
  expect(all('FROM').filter((line) => !/^FROM \$\{NODE_IMAGE\} AS [a-z]+$/.test(line))).toEqual([])
  expect(instructions.join('\n')).not.toMatch(/:latest\b/)
})

test('the Dockerfile copies instead of adding, and leaves no package lists behind', () => {
  expect(all('ADD')).toEqual([])
  const installs = all('RUN').filter((line) => line.includes('apt-get install'))
  expect(
    installs.filter(
      (line) => !/apt-get install -y --no-install-recommends .*rm -rf \/var\/lib\/apt\/lists\/\*/.test(line),
    ),
  ).toEqual([])
  expect(all('COPY').filter((line) => / \.(\/)? /.test(line))).toEqual([])
})

test('the image runs as a numbered user, under an init, without compiler or npm', () => {
  expect(lastStage.filter((line) => line.startsWith('USER '))).toEqual(['USER 65532:65532'])
  expect(lastStage.findLast((line) => line.startsWith('ENTRYPOINT '))).toMatch(
    /^ENTRYPOINT \["tini", "--", "node", "[^"]+"\]$/,
  )
  expect(lastStage).toContain('EXPOSE 9090')
  expect(lastStage.join('\n')).not.toMatch(/install .*\b(gcc|make|g\+\+)\b|npm (ci|install)/)
  expect(lastStage.join('\n')).toContain('/usr/local/bin/npm')
})
