import { ResQueueError } from '../errors.ts'
import { nearest } from '../values.ts'
import { optionsOf } from './help.ts'
import { nameOf, type Context, type Family, type Verb } from './verb.ts'

/** What can follow what, for the scripts below. */
interface Command {
  /** `queue ls`. */
  readonly name: string
  readonly summary: string
  readonly options: readonly {
    readonly flag: string
    readonly about: string
    readonly value: boolean
    readonly choices: readonly string[]
  }[]
}

const SHELLS = { bash, zsh, fish }

async function completion(families: readonly Family[], { operands, output }: Context): Promise<number> {
  const shell = operands[0] as string
  if (!Object.hasOwn(SHELLS, shell)) {
    const meant = nearest(shell, Object.keys(SHELLS))
    throw new ResQueueError(
      'USAGE',
      `there is no script for "${shell}"${meant === undefined ? '.' : `; did you mean ${meant}?`} There are bash, zsh and fish`,
    )
  }
  output.line(SHELLS[shell as keyof typeof SHELLS](families, await commandsOf(families)))
  return 0
}

async function commandsOf(families: readonly Family[]): Promise<readonly Command[]> {
  const all: Command[] = []
  for (const family of families) {
    for (const verb of await family.load()) {
      const options = optionsOf(verb).flatMap((option) =>
        option.flag === ''
          ? []
          : [
              {
                flag: `--${option.negative ? 'no-' : ''}${option.flag}`,
                about: option.about,
                value: option.value !== undefined,
                choices: option.choices ?? [],
              },
            ],
      )
      const name = nameOf(family, verb)
      all.push({ name, summary: verb.summary, options })
      // An operand that is one of a few words is completed like a verb.
      if (/^[a-z]+(\|[a-z]+)+$/.test(verb.operands))
        for (const word of verb.operands.split('|'))
          all.push({ name: `${name} ${word}`, summary: `for ${word}`, options: [] })
    }
  }
  return all
}

/** Second words of each first word. */
function secondWords(all: readonly Command[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  for (const { name } of all) {
    const [first = '', second] = name.split(' ')
    if (second !== undefined) found.set(first, [...(found.get(first) ?? []), second])
  }
  return found
}

function bash(families: readonly Family[], all: readonly Command[]): string {
  const seconds = [...secondWords(all)]
  const choices = new Map(
    all.flatMap(({ options }) =>
      options
        .filter((option) => option.choices.length > 0)
        .map((option) => [option.flag, option.choices.join(' ')] as const),
    ),
  )
  return `# resqueue completion for bash; load with: source <(resqueue completion bash)
_resqueue() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} words=""
  case $prev in
${[...choices].map(([flag, words]) => `    ${flag}) COMPREPLY=($(compgen -W "${words}" -- "$cur")); return ;;`).join('\n')}
  esac
  if ((COMP_CWORD == 1)); then
    words="${families.map(({ name }) => name).join(' ')} help --help --version"
  else
    case $COMP_CWORD:\${COMP_WORDS[1]} in
${seconds.map(([first, words]) => `      2:${first}) words="${words.join(' ')}" ;;`).join('\n')}
    esac
  fi
  if [[ -z $words && $cur == -* ]]; then
    case "\${COMP_WORDS[1]} \${COMP_WORDS[2]}" in
${all.map(({ name, options }) => `      ${pattern(name)}) words="${options.map(({ flag }) => flag).join(' ')}" ;;`).join('\n')}
    esac
  fi
  if [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$cur")); else COMPREPLY=($(compgen -f -- "$cur")); fi
}
complete -F _resqueue resqueue`
}

/** Matches a verb of one word whatever follows it, and not one that begins like it. */
function pattern(name: string): string {
  return name.includes(' ') ? `"${name}"` : `"${name} "*`
}

function zsh(families: readonly Family[], all: readonly Command[]): string {
  const text = (about: string): string => about.replaceAll(/[[\]:'"`$\\]/g, '')
  const seconds = [...secondWords(all)]
  return `#compdef resqueue
# resqueue completion for zsh; load with: source <(resqueue completion zsh)
_resqueue() {
  local -a verbs
  if ((CURRENT == 2)); then
    verbs=(${families.map(({ name, summary }) => `'${name}:${text(summary)}'`).join(' ')})
    _describe verb verbs
    return
  fi
  if ((CURRENT == 3)); then
    case $words[2] in
${seconds
  .map(([first]) => {
    const own = all.filter(({ name }) => name.startsWith(`${first} `))
    return `      ${first}) verbs=(${own.map(({ name, summary }) => `'${name.slice(first.length + 1)}:${text(summary)}'`).join(' ')}); _describe verb verbs; return ;;`
  })
  .join('\n')}
    esac
  fi
  case "$words[2] $words[3]" in
${all
  .map(({ name, options }) => {
    const specs = options.map(
      ({ flag, about, value, choices }) =>
        `'${flag}[${text(about)}]${value ? `:value:${choices.length > 0 ? `(${choices.join(' ')})` : '_files'}` : ''}'`,
    )
    return `    ${pattern(name)}) _arguments ${specs.join(' ')} '*:file:_files' ;;`
  })
  .join('\n')}
  esac
}
compdef _resqueue resqueue`
}

function fish(families: readonly Family[], all: readonly Command[]): string {
  const text = (about: string): string => `'${about.replaceAll(/['\\]/g, '\\$&')}'`
  const lines = families.map(
    ({ name, summary }) => `complete -c resqueue -n __fish_use_subcommand -a ${name} -d ${text(summary)}`,
  )
  for (const { name, summary, options } of all) {
    const [first = '', second] = name.split(' ')
    if (second !== undefined)
      lines.push(`complete -c resqueue -n '__resqueue_after ${first}' -a ${second} -d ${text(summary)}`)
    for (const { flag, about, value, choices } of options) {
      const given = value ? (choices.length > 0 ? ` -x -a '${choices.join(' ')}'` : ' -r -F') : ''
      lines.push(`complete -c resqueue -n '__resqueue_in ${name}' -l ${flag.slice(2)}${given} -d ${text(about)}`)
    }
  }
  return `# resqueue completion for fish; load with: resqueue completion fish | source
function __resqueue_after
  set -l words (commandline -opc)[2..]
  test "$words" = "$argv"
end
function __resqueue_in
  set -l words (commandline -opc)[2..]
  set -l words $words[1..(count $argv)]
  test "$words" = "$argv"
end
complete -c resqueue -f
${lines.join('\n')}`
}

/** The verbs of this family, for a command line of these families. */
export const verbsFor = (families: readonly Family[]): readonly Verb[] => [
  {
    name: '',
    summary: 'print a completion script for your shell',
    operands: 'bash|zsh|fish',
    count: [1, 1],
    about: 'For zsh, put `source <(resqueue completion zsh)` into ~/.zshrc, behind compinit.',
    examples: [
      'completion bash > /etc/bash_completion.d/resqueue',
      'completion fish > ~/.config/fish/completions/resqueue.fish',
    ],
    options: [],
    redis: false,
    run: (context) => completion(families, context),
  },
]
