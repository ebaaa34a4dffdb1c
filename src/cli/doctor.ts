import { namespace } from '../config.ts'
import type { Option } from '../option.ts'
import { messageOf, ResQueueError } from '../errors.ts'
import { parseEndpoint } from '../redis/url.ts'
import { yesNo } from '../values.ts'
import { plural, some } from '../wording.ts'
import { aclChecks, aclRule, COMMANDS, RULE_ADVICE } from './checks/acl.ts'
import { dataChecks } from './checks/data.ts'
import type { Finding } from './checks/finding.ts'
import { redisChecks } from './checks/redis.ts'
import { workerChecks } from './checks/workers.ts'
import { output } from './options.ts'
import { printable } from '../printable.ts'
import type { Context, Verb } from './verb.ts'

const acl: Option<boolean> = {
  flag: 'acl',
  fallback: false,
  about: 'Only print the ACL rule for the Redis user of ResQueue; needs no Redis.',
  read: yesNo,
}

const ORDER = { error: 0, warning: 1, note: 2 }
const COLOURS = { error: 31, warning: 33, note: 36 }

async function doctor(context: Context): Promise<number> {
  const { get, config, output: out, signal } = context
  if (get(acl)) {
    const rule = aclRule(get(namespace), parseEndpoint(config).kind === 'cluster')
    out.done(`ACL SETUSER resqueue ${rule}`, { rule })
    return 0
  }
  const store = await context.store()
  // Without an answer at all there is nothing to examine: that is an error of its own, exit 69.
  await store.command('time', []).catch((error: unknown) => {
    if (!(error instanceof ResQueueError) || error.code !== 'REDIS_REFUSED' || /NOAUTH|WRONGPASS/.test(error.message))
      throw error
  })
  const progress = context.progress('Checked')
  const findings: Finding[] = []
  const refused = new Set<string>()
  const checks = [...redisChecks, ...aclChecks, ...dataChecks, ...workerChecks]
  try {
    for (const [done, check] of checks.entries()) {
      signal.throwIfAborted()
      progress.update(done, checks.length)
      try {
        findings.push(...(await check.run({ store, config, signal })))
      } catch (error) {
        const command = /\bno permissions to run the '([^']+)' command/.exec(messageOf(error))?.[1]
        if (command === undefined) findings.push(notChecked(check.name, messageOf(error)))
        else refused.add(command)
      }
    }
  } finally {
    progress.end()
  }
  if (refused.size > 0 && findings.every(({ id }) => id !== 'acl')) findings.push(notAllowed([...refused]))
  findings.sort((a, b) => ORDER[a.level] - ORDER[b.level])
  const counted = findings.filter(({ level }) => level !== 'note').length
  if (out.json) out.list([], findings)
  else report(context, findings, counted, store.address)
  return counted > 0 ? 2 : 0
}

function notChecked(name: string, message: string): Finding {
  return {
    id: 'not-checked',
    level: 'note',
    finding: `Not checked: ${name}: ${message}`,
    advice: 'Fix that, and run the doctor again.',
  }
}

/** Checks that Redis forbade: work is impossible without the commands that workers need as well. */
function notAllowed(commands: readonly string[]): Finding {
  const level = commands.some((command) => COMMANDS.includes(command)) ? 'error' : 'note'
  return {
    id: 'acl',
    level,
    finding: `The Redis user may not use ${some(commands, 5)}, so some things were not checked`,
    advice: RULE_ADVICE,
  }
}

function report({ output: out, env }: Context, findings: readonly Finding[], counted: number, address: string): void {
  const colour = process.stdout.isTTY && !env['NO_COLOR']
  for (const { id, level, finding, advice } of findings) {
    const head = level.padEnd(7)
    out.line(`${colour ? `\u001b[${COLOURS[level]}m${head}\u001b[0m` : head}  ${id}: ${printable(finding)}`)
    out.line(`         ${printable(advice)}`)
  }
  const notes = findings.length - counted
  out.line(
    `${counted === 0 ? 'All is well' : plural(counted, 'finding')}${notes > 0 ? `, ${plural(notes, 'note')}` : ''} at ${printable(address)}`,
  )
}

export const verbs: readonly Verb[] = [
  {
    name: '',
    summary: 'check Redis and the data in it, with advice',
    operands: '',
    count: [0, 0],
    about:
      'Looks, and changes nothing: settings of Redis that lose jobs, memory, replicas, clocks, permissions; dead workers, stray registrations, entries that break Resque dashboards, overdue jobs, foreign schedulers. Each finding comes with advice. Exits with 2 when there are errors or warnings, with 0 when there are none; notes do not count.',
    examples: ['doctor', "doctor -o json | jq -r '.[].id'", 'doctor --acl --namespace resque'],
    options: [acl, output],
    redis: true,
    run: doctor,
  },
]
