import { messageOf } from '../../errors.ts'
import { keysOf } from '../../redis/keys.ts'
import { some } from '../../wording.ts'
import type { Check, Finding, Patient } from './finding.ts'

/** Commands that ResQueue sends or that its scripts call. A test compares them with the sources. */
export const COMMANDS: readonly string[] = words(`
  auth blpop client|setname del eval evalsha exists get hdel hexists hget hgetall hlen hmget hscan hset hsetnx
  incr incrby info lindex llen lpop lpos lpush lrange lrem lset ltrim memory|usage mget mset pexpire ping pttl rename rpush sadd
  scard select set sismember smembers smismember srandmember srem sscan time type unlink wait zadd zcard zcount
  zrange zrangebyscore zrem zscore
`)

/** What only the doctor needs, to look at Redis itself. */
export const DOCTOR_COMMANDS: readonly string[] = ['acl|dryrun', 'acl|whoami', 'config|get', 'scan']

export const RULE_ADVICE: string = 'resqueue doctor --acl prints the rule that is needed.'

/** Commands without keys, as ACL DRYRUN must be asked. */
const KEYLESS: Readonly<Record<string, readonly string[]>> = {
  auth: ['x'],
  info: [],
  ping: [],
  time: [],
  wait: ['0', '1'],
  select: ['0'],
  eval: ['return 1', '1'],
  evalsha: ['0000000000000000000000000000000000000000', '1'],
}

/** The rule that lets a user do all that ResQueue does in a namespace, and nothing else. */
export function aclRule(namespace: string, cluster: boolean): string {
  const commands = [...COMMANDS, ...(cluster ? ['cluster|slots', 'cluster|shards'] : []), ...DOCTOR_COMMANDS]
  // A backslash keeps the glob characters of a namespace from matching others.
  const pattern = `${keysOf(namespace).prefix.replaceAll(/[[\]*?\\]/g, '\\$&')}*`
  return `on >PASSWORD resetkeys ~${pattern} resetchannels -@all ${commands.map((name) => `+${name}`).join(' ')}`
}

async function acl({ store }: Patient): Promise<readonly Finding[]> {
  const user = await ask(store.command('acl', ['whoami']))
  if (typeof user !== 'string') {
    return [unknown(`whether this user may do everything cannot be told (${messageOf(user)})`)]
  }
  const refused: string[] = []
  for (const command of COMMANDS) {
    const reply = await ask(store.command('acl', ['dryrun', user, ...wordsOf(command, store.keys.queues)]))
    if (reply instanceof Error) {
      // Before Redis 7 there is no DRYRUN; a user without ACL rights of its own cannot ask.
      return [unknown(`whether ${user} may do everything cannot be told (${reply.message})`)]
    }
    if (/has no permissions/.test(String(reply))) refused.push(command)
  }
  if (refused.length === 0) return []
  return [
    {
      id: 'acl',
      level: 'error',
      finding: `The Redis user ${user} may not use ${some(refused, 5)} on keys under ${store.keys.prefix === '' ? '(no namespace)' : store.keys.prefix}`,
      advice: RULE_ADVICE,
    },
  ]
}

/** A call of a command as DRYRUN wants it: the right number of arguments, keys in their places. */
function wordsOf(command: string, key: string): readonly string[] {
  const [name = '', sub] = command.split('|')
  if (sub !== undefined) return [name, sub, sub === 'setname' ? 'x' : key]
  const fixed = KEYLESS[name]
  if (fixed) return [name, ...fixed, ...(name.startsWith('eval') ? [key] : [])]
  if (name === 'rename') return [name, key, key]
  const more = ARGUMENTS[name] ?? 0
  return [name, key, ...Array.from({ length: more }, () => '1')]
}

/** Fewest arguments behind the key, where there are any. */
const ARGUMENTS: Readonly<Record<string, number>> = Object.fromEntries([
  ...words(
    'blpop hdel hexists hget hmget hscan incrby lindex lpos lpush mset pexpire rpush sadd set sismember smismember srem sscan zrem zscore',
  ).map((name) => [name, 1] as const),
  ...words('hset hsetnx lrange lrem lset ltrim zadd zcount zrange zrangebyscore').map((name) => [name, 2] as const),
])

function unknown(finding: string): Finding {
  return {
    id: 'acl-unknown',
    level: 'note',
    finding: finding.charAt(0).toUpperCase() + finding.slice(1),
    advice: RULE_ADVICE,
  }
}

async function ask(reply: Promise<unknown>): Promise<unknown> {
  try {
    return await reply
  } catch (error) {
    return error
  }
}

export const aclChecks: readonly Check[] = [{ name: 'acl', run: acl }]

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/)
}
