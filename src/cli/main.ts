import { messageOf, ResQueueError } from '../errors.ts'
import { nearest } from '../values.ts'
import { openContext, type OpenContext } from './context.ts'
import { families } from './families.ts'
import { familyHelp, optionsOf, overview, verbHelp } from './help.ts'
import { resolve } from './resolve.ts'
import { printable } from '../printable.ts'
import { nameOf, type Family, type Verb } from './verb.ts'

/** Runs a command line and returns its exit code. Never throws. */
export async function main(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // What works on by itself does not end because nobody reads what code of the operator's writes.
    if (argv[0] === 'work' || argv[0] === 'control') return
    // A reader that has gone away (`| head`) is no error.
    if (error.code === 'EPIPE') process.exit(0)
    process.stderr.write(`resqueue: what was done cannot be shown: ${error.message}\n`)
    process.exit(1)
  })
  process.stderr.on('error', () => undefined)
  try {
    return await dispatch(argv, env)
  } catch (error) {
    return await complain(error, env)
  }
}

async function dispatch(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const [first, second] = argv
  if (first === undefined) {
    process.stderr.write(`${overview(families)}\n`)
    return 64
  }
  if (first === '--version' || first === '-V' || first === '-v') return dispatch(['version'], env)
  if (first === 'help' || first === '--help' || first === '-h') {
    return second === undefined || second.startsWith('-')
      ? say(overview(families))
      : dispatch([...argv.slice(1), '--help'], env)
  }
  if (first.startsWith('-')) throw usage(`the verb comes first, then its options: resqueue VERB ${first} …`)
  const family = families.find(({ name }) => name === first)
  if (!family)
    throw usage(
      `there is no verb "${first}"${guess(
        first,
        families.map(({ name }) => name),
      )}`,
    )
  const verbs = await family.load()
  const only = verbs.find(({ name }) => name === '')
  if (only) return run(family, only, argv.slice(1), env)
  if (second === '--help' || second === '-h') return say(familyHelp(family, verbs))
  if (second === undefined || second.startsWith('-')) {
    throw usage(`say what to do: resqueue ${first} ${verbs.map(({ name }) => name).join('|')}`, first)
  }
  const verb = verbs.find(({ name }) => name === second)
  if (!verb)
    throw usage(
      `there is no "${first} ${second}"${guess(
        second,
        verbs.map(({ name }) => name),
      )}`,
      first,
    )
  return run(family, verb, argv.slice(2), env)
}

async function run(family: Family, verb: Verb, argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const name = nameOf(family, verb)
  const dashes = argv.indexOf('--')
  if ((dashes < 0 ? argv : argv.slice(0, dashes)).some((word) => word === '--help' || word === '-h'))
    return say(verbHelp(family, verb, process.stdout.isTTY ? process.stdout.columns : undefined))
  let context: OpenContext | undefined
  try {
    const settings = resolve(optionsOf(verb), argv, env)
    const [least, most] = verb.count
    const got = settings.operands.length
    if (got < least || got > most) {
      const what = got < least ? 'something is missing' : `"${settings.operands[most]}" is one operand too many`
      throw new ResQueueError('USAGE', `${what}: resqueue ${name} ${verb.operands}`.trim())
    }
    context = openContext(settings, env)
    const code = await verb.run(context)
    return context.interrupted ?? code
  } catch (error) {
    // Stopped between two steps: what was done has been said.
    if (context?.interrupted !== undefined) return context.interrupted
    throw error instanceof ResQueueError && error.code === 'USAGE' ? usage(error.message, name) : error
  } finally {
    await context?.[Symbol.asyncDispose]()
  }
}

function say(text: string): number {
  process.stdout.write(`${text}\n`)
  return 0
}

async function complain(thrown: unknown, env: NodeJS.ProcessEnv): Promise<number> {
  const error = thrown instanceof Error && thrown.name === 'ReplyError' ? await explain(thrown) : thrown
  const known = error instanceof ResQueueError
  const text = known ? error.message : `unexpected error: ${messageOf(error)}`
  process.stderr.write(`resqueue: ${printable(text)}\n`)
  if (!known || env['LOG_LEVEL'] === 'debug') process.stderr.write(`${stackOf(error)}\n`)
  return known ? error.exitCode : 1
}

function stackOf(error: unknown): string {
  return String((error as Error | undefined)?.stack ?? '')
    .split('\n')
    .map(printable)
    .join('\n')
}

/** What Redis refused, in words. */
async function explain(reply: Error): Promise<Error> {
  const { classify } = await import('../redis/replies.ts')
  const verdict = classify(reply)
  return verdict.kind === 'refused' ? verdict.error : reply
}

function usage(message: string, name = ''): ResQueueError {
  return new ResQueueError(
    'USAGE',
    `${message.replace(/\.$/, '')} (see resqueue ${name === '' ? '' : `${name} `}--help)`,
  )
}

function guess(word: string, candidates: readonly string[]): string {
  const meant = nearest(word, candidates)
  return meant === undefined ? '' : `; did you mean ${meant}?`
}
