import { VERSION } from '../version.ts'
import { output } from './options.ts'
import type { Context, Verb } from './verb.ts'

async function version({ output: out }: Context): Promise<number> {
  const { node, v8 } = process.versions
  out.done(`resqueue ${VERSION} (Node ${node}, ${process.platform}-${process.arch})`, {
    version: VERSION,
    node,
    v8,
    platform: process.platform,
    arch: process.arch,
  })
  return 0
}

export const verbs: readonly Verb[] = [
  {
    name: '',
    summary: 'show the version',
    operands: '',
    count: [0, 0],
    examples: ['version', 'version -o json'],
    options: [output],
    redis: false,
    run: version,
  },
]
