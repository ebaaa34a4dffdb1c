import { parseArgs } from 'node:util'
import { variableOf, type Option } from '../option.ts'
import { ResQueueError, messageOf } from '../errors.ts'
import { nearest } from '../values.ts'

/** Options resolved: flags over environment over defaults. */
export interface Settings {
  readonly get: <T>(option: Option<T>) => T
  /** Whether a flag or a variable gave it. */
  readonly given: (option: Option<unknown>) => boolean
  readonly operands: readonly string[]
}

/** What was given, and where: by `--queues`, or by a variable of this name. */
type Texts = Map<Option<unknown>, { readonly origin: string; readonly texts: readonly string[] }>

/**
 * Resolves `options` from a command line and an environment. Throws one `USAGE` error that names everything that is
 * wrong, on one line.
 */
export function resolve(
  options: readonly Option<unknown>[],
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
): Settings {
  const problems: string[] = []
  const { texts, operands } = readFlags(options, argv, problems)
  for (const option of options) {
    const said = texts.has(option) ? undefined : variableOf(option, env)
    if (said !== undefined) texts.set(option, { origin: said.name, texts: [said.text] })
  }
  const values = new Map<Option<unknown>, unknown>()
  for (const [option, { origin, texts: given }] of texts) {
    try {
      const all = given.map((text) => option.read(text))
      values.set(option, option.merge && all.length > 1 ? option.merge(all) : all.at(-1))
    } catch (error) {
      problems.push(`${origin}: ${messageOf(error)}`)
    }
  }
  if (problems.length > 0) throw new ResQueueError('USAGE', problems.join('; '))
  return Object.freeze({
    get: <T>(option: Option<T>): T => (values.has(option) ? (values.get(option) as T) : option.fallback),
    given: (option: Option<unknown>) => values.has(option),
    operands,
  })
}

function readFlags(
  options: readonly Option<unknown>[],
  argv: readonly string[],
  problems: string[],
): { texts: Texts; operands: string[] } {
  const byName = new Map<string, { option: Option<unknown>; text?: string }>()
  const config: Record<string, { type: 'boolean' | 'string'; multiple: true; short?: string }> = {}
  for (const option of options) {
    if (option.flag === '') continue
    const kind = {
      type: option.value === undefined ? ('boolean' as const) : ('string' as const),
      multiple: true as const,
    }
    config[option.flag] = option.short === undefined ? kind : { ...kind, short: option.short }
    byName.set(option.flag, option.value === undefined ? { option, text: 'true' } : { option })
    if (option.value === undefined) {
      config[`no-${option.flag}`] = kind
      byName.set(`no-${option.flag}`, { option, text: 'false' })
    }
  }
  const { tokens } = parseArgs({
    args: [...argv],
    options: config,
    allowPositionals: true,
    strict: false,
    tokens: true,
  })
  const found = new Map<Option<unknown>, { origin: string; texts: string[] }>()
  const operands: string[] = []
  const unknown = new Set<string>()
  for (const token of tokens) {
    if (token.kind === 'positional') operands.push(token.value)
    if (token.kind !== 'option') continue
    const known = byName.get(token.name)
    if (!known) {
      if (!unknown.has(token.rawName)) problems.push(unknownOption(token.rawName, token.index, argv, byName.keys()))
      unknown.add(token.rawName)
      continue
    }
    const { option } = known
    let text: string
    if (known.text !== undefined) {
      if (token.value !== undefined) {
        problems.push(`${token.rawName} takes no value`)
        continue
      }
      text = known.text
    } else {
      // What looks like the next option is no value, unless it is written as --name=-value.
      if (token.value === undefined || (!token.inlineValue && /^-(?![\d.]|$)/.test(token.value))) {
        problems.push(`${token.rawName} needs a value (${option.value})`)
        continue
      }
      text = token.value
    }
    const entry = found.get(option)
    if (entry) entry.texts.push(text)
    else found.set(option, { origin: token.rawName, texts: [text] })
  }
  return { texts: found, operands }
}

function unknownOption(rawName: string, index: number, argv: readonly string[], names: Iterable<string>): string {
  if (/^-[\d.]/.test(argv[index] ?? '') || /^-\d$/.test(rawName)) {
    return `"${argv[index]}" is taken for an option; write -- in front of operands that start with a dash`
  }
  const meant = rawName.startsWith('--') ? nearest(rawName.slice(2), names) : undefined
  return `there is no option ${rawName}${meant === undefined ? '' : `; did you mean --${meant}?`}`
}
