import { fileURLToPath } from 'node:url'
import { VERSION } from '../version.ts'
import type { EngineOptions } from './engine.ts'
import type { LoadConfig } from './loading.ts'

/** `.ts` in the checkout, `.js` in the package: entries of child processes have the extension of this file. */
const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js'

/** The file with which a child process starts. */
function entryFile(name: 'zygote' | 'spawned'): string {
  return fileURLToPath(new URL(`./${name}${EXTENSION}`, import.meta.url))
}

/** `resque-<version>`, the promised part of process titles. */
export const TITLE: string = `resque-${VERSION}`

/**
 * Node's flags of the worker that its children must share: loaders and conditions, nothing that binds ports or runs
 * other code.
 */
const INHERITED =
  /^(--import|--require|-r|--loader|--experimental-loader|--conditions|-C|--enable-source-maps|--no-warnings|--disable-warning|--use-system-ca|--use-openssl-ca|--dns-result-order)(=|$)/
const TAKES_VALUE =
  /^(--import|--require|-r|--loader|--experimental-loader|--conditions|-C|--disable-warning|--dns-result-order)$/

function inheritedFlags(flags: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < flags.length; i += 1) {
    const flag = flags[i] as string
    if (!INHERITED.test(flag)) continue
    kept.push(flag)
    if (TAKES_VALUE.test(flag) && flags[i + 1] !== undefined) kept.push(flags[(i += 1)] as string)
  }
  return kept
}

/** The command line after `node` of a process that loads job code. */
export function commandLine(entry: 'zygote' | 'spawned', flags: readonly string[], options: EngineOptions): string[] {
  const config: LoadConfig = {
    jobs: options.jobs,
    ...(options.hooks === undefined ? {} : { hooks: options.hooks }),
    jobsPerChild: options.jobsPerChild,
    worker: process.pid,
    title: TITLE,
  }
  const cap = options.jobMemoryMiB === undefined ? [] : [`--max-old-space-size=${options.jobMemoryMiB}`]
  // Process titles are cut to the length of the command line: the last argument makes room.
  return [
    ...inheritedFlags(process.execArgv),
    ...flags,
    ...cap,
    entryFile(entry),
    JSON.stringify(config),
    ' '.repeat(200),
  ]
}
