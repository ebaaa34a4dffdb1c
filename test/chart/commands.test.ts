import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { families } from '../../src/cli/families.ts'
import { nameOf } from '../../src/cli/verb.ts'
import type { Verb } from '../../src/cli/verb.ts'
import { redisGroup } from '../../src/redisoptions.ts'
import { ROOT } from '../support/process.ts'
import { CHART, test, type Yaml } from './helm.ts'

const GUIDES = [
  ...['kubernetes.md', 'operations.md', 'security.md'].map((file) => join('docs', file)),
  ...readdirSync(join(ROOT, 'docs', 'runbooks')).map((file) => join('docs', 'runbooks', file)),
  join('charts', 'resqueue', 'README.md'),
  join('deploy', 'README.md'),
]

const loadVerbs = async (): Promise<ReadonlyMap<string, Verb>> =>
  new Map(
    (
      await Promise.all(
        families.map(async (family) => (await family.load()).map((verb) => [nameOf(family, verb), verb] as const)),
      )
    ).flat(),
  )

const verbOf = (words: readonly string[], verbs: ReadonlyMap<string, Verb>): Verb | undefined =>
  verbs.get(words.slice(0, 2).join(' ')) ?? verbs.get(words[0] ?? '')

/** Flags of `words` that the verb does not know; undefined where there is no such verb. */
function unknownFlags(words: readonly string[], verbs: ReadonlyMap<string, Verb>): string[] | undefined {
  const verb = verbOf(words, verbs)
  if (verb === undefined) return undefined
  const known = new Set(
    [...verb.options, ...(verb.redis ? redisGroup.options : [])].flatMap(({ flag, short, negative }) => [
      negative ? `--no-${flag}` : `--${flag}`,
      ...(short === undefined ? [] : [`-${short}`]),
    ]),
  )
  return words
    .filter((word) => /^--?[a-z]/.test(word))
    .map((word) => word.replace(/=.*$/, ''))
    .filter((flag) => !known.has(flag) && flag !== '--help')
}

test('the arguments that the chart renders are options of the verbs', async ({ helm }) => {
  const verbs = await loadVerbs()
  for (const file of readdirSync(join(CHART, 'ci'))) {
    const out = await helm.render({}, { files: [join(CHART, 'ci', file)] })
    for (const { metadata, spec } of out.all('Deployment')) {
      const [container] = spec.template.spec.containers as Yaml[]
      if (container.name === 'redis') continue
      expect(unknownFlags(container.args, verbs), `${file}: ${metadata.name}`).toEqual([])
    }
  }
})

test('the commands of the Kubernetes guides exist, with their options', async () => {
  const verbs = await loadVerbs()
  const wrong: string[] = []
  let count = 0
  for (const guide of GUIDES) {
    const text = readFileSync(join(ROOT, guide), 'utf8')
    const code = [...text.matchAll(/^```sh\n(.*?)^```/gms), ...text.matchAll(/`([^`\n]+)`/g)].flatMap(
      ([, block = '']) => block.split('\n'),
    )
    for (const line of code) {
      const [, command] = /(?:-- resqueue|^rq|^resqueue) ([a-z].*?)(?:\s+#.*)?$/.exec(line.trim()) ?? []
      if (command === undefined) continue
      count++
      const words = command
        .replace(/ \|.*$/, '')
        .replaceAll(/'[^']*'/g, 'X')
        .split(/\s+/)
      const unknown = unknownFlags(words, verbs)
      if (unknown === undefined || unknown.length > 0)
        wrong.push(`${guide}: ${command} (${unknown?.join(', ') ?? 'no such verb'})`)
      // `rq` is `kubectl exec` without a terminal: nobody can be asked there.
      const asks = verbOf(words, verbs)?.options.some(({ flag }) => flag === 'yes') ?? false
      if (asks && !line.trim().startsWith('resqueue ') && !/ --(yes|dry-run)\b/.test(command))
        wrong.push(`${guide}: ${command} (needs --yes)`)
    }
  }
  expect(wrong).toEqual([])
  expect(count).toBeGreaterThan(20)
})
