import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

/** A Lua script: one atomic operation, read from `lua/<name>.lua`. */
export interface Script {
  readonly name: string
  readonly source: string
  /** What EVALSHA calls it by. */
  readonly sha: string
}

const FOLDER = new URL('../../lua/', import.meta.url)

/**
 * Reads `lua/<name>.lua`. Lines of the form `-- @include part`, in parts, too, are replaced by `lua/lib/part.lua`: what
 * several scripts share, or a part of a long one.
 */
export function loadScript(name: string): Script {
  const source = read(`${name}.lua`)
  return Object.freeze({ name, source, sha: createHash('sha1').update(source).digest('hex') })
}

function read(path: string): string {
  const text = readFileSync(new URL(path, FOLDER), 'utf8')
  return text.replace(/^-- @include (\w+)$/gm, (_, part: string) => read(`lib/${part}.lua`).trimEnd())
}
