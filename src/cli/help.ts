import { redisGroup, workerGroups } from '../config.ts'
import type { Option, OptionGroup } from '../option.ts'
import { commonGroup } from './options.ts'
import { nameOf, type Family, type Verb } from './verb.ts'

/** The widest that text of a help gets; a narrower terminal gets less. */
const WIDTH = 100

/** Where the texts of options begin. */
const COLUMN = 30

/** What `resqueue` alone and `resqueue --help` print. */
export function overview(families: readonly Family[]): string {
  const width = Math.max(...families.map((family) => family.name.length))
  return [
    'resqueue: a Kubernetes-native job queue that speaks the Resque protocol',
    '',
    'Usage: resqueue VERB [operands] [options]',
    '',
    ...families.map((family) => `  ${family.name.padEnd(width)}  ${family.summary}`),
    '',
    'Examples:',
    '  resqueue work --queues critical,mail --jobs ./jobs',
    `  resqueue enqueue mail SendEmail '{"to":"ann@example.org"}'`,
    '  resqueue failed retry --class SendEmail --since 1h',
    '',
    'resqueue VERB --help explains a verb.',
    'Options override the environment (REDIS_URL, PREFIX, …), which overrides defaults.',
  ].join('\n')
}

/** What `resqueue queue --help` prints. */
export function familyHelp(family: Family, verbs: readonly Verb[]): string {
  const names = verbs.map((verb) => `${verb.name} ${verb.operands}`.trim())
  const width = Math.max(...names.map((name) => name.length))
  return [
    `resqueue ${family.name}: ${family.summary}`,
    '',
    ...verbs.map((verb, i) => `  resqueue ${family.name} ${(names[i] as string).padEnd(width)}  ${verb.summary}`),
    '',
    'Examples:',
    ...verbs.map((verb) => `  resqueue ${verb.examples[0]}`),
    '',
    `resqueue ${family.name} VERB --help explains a verb and its options.`,
  ].join('\n')
}

/** What `resqueue queue ls --help` prints, on a terminal with so many columns; examples stay on their lines. */
export function verbHelp(family: Family, verb: Verb, columns: number = WIDTH): string {
  const width = Math.min(WIDTH, Math.max(columns, 2 * COLUMN))
  const name = nameOf(family, verb)
  const lines = [
    `resqueue ${name}: ${verb.summary}`,
    '',
    `Usage: resqueue ${[name, verb.operands].filter(Boolean).join(' ')} [options]`,
  ]
  if (verb.about) lines.push('', ...wrap(verb.about, width))
  lines.push(
    '',
    verb.examples.length > 1 ? 'Examples:' : 'Example:',
    ...verb.examples.map((example) => `  resqueue ${example}`),
  )
  for (const group of groupsOf(verb)) {
    const shown = group.options.filter((option) => option.flag !== '')
    if (shown.length > 0) lines.push('', `${group.title}:`, ...shown.flatMap((option) => describe(option, width)))
  }
  return lines.join('\n')
}

/** A verb's options under their headings, its own first. */
export function groupsOf(verb: Verb): readonly OptionGroup[] {
  const grouped = new Set(workerGroups.flatMap((group) => group.options))
  const own = verb.options.filter((option) => !grouped.has(option))
  return [
    ...workerGroups.filter((group) => group.options.every((option) => verb.options.includes(option))),
    { title: 'Options', options: [...own, ...leftOver(verb)] },
    ...(verb.redis ? [redisGroup] : []),
    commonGroup,
  ]
}

/** Everything that a verb takes. */
export function optionsOf(verb: Verb): readonly Option<unknown>[] {
  return [...verb.options, ...(verb.redis ? redisGroup.options : []), ...commonGroup.options]
}

/** `--queues LIST`, `-o, --output FORMAT`, `--no-blocking`. */
function spell(option: Option<unknown>): string {
  const long = `--${option.negative ? 'no-' : ''}${option.flag}`
  return `${option.short === undefined ? '' : `-${option.short}, `}${long}${option.value === undefined ? '' : ` ${option.value}`}`
}

/** Options of a heading of config.ts of which the verb takes only some. */
function leftOver(verb: Verb): readonly Option<unknown>[] {
  return workerGroups
    .filter((group) => !group.options.every((option) => verb.options.includes(option)))
    .flatMap((group) => group.options.filter((option) => verb.options.includes(option)))
}

function describe(option: Option<unknown>, width: number): string[] {
  const extras = [
    option.choices && !option.choices.every((choice) => option.about.includes(choice)) ? option.choices.join(', ') : '',
    option.shown === undefined || option.negative ? '' : `default: ${option.shown}`,
    option.env ? `env: ${option.env.map((variable) => variable.name).join(', ')}` : '',
  ].filter(Boolean)
  const text = `${option.about}${extras.length > 0 ? ` (${extras.join('; ')})` : ''}`
  const head = `  ${spell(option)}`
  const lines = wrap(text, width - COLUMN).map((line) => ' '.repeat(COLUMN) + line)
  if (head.length > COLUMN - 2) return [head, ...lines]
  return [head.padEnd(COLUMN) + (lines[0] ?? '').slice(COLUMN), ...lines.slice(1)]
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(/\s+/)) {
    const line = lines.at(-1)
    if (line !== undefined && line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines
}
