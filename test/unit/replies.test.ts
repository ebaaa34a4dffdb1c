import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { classify, lostCall } from '../../src/redis/replies.ts'

function refused(message: string): unknown {
  const verdict = classify(Object.assign(new Error(message), { name: 'ReplyError' }))
  return verdict.kind === 'refused' && { code: verdict.error.code, final: verdict.final, reconnect: verdict.reconnect }
}

test('what a script was refused for is understood as Redis 7 and as Redis 6.2 says it', () => {
  const wrapped = 'ERR Error running script (call to f_0a9a51ee96320953ec7bde8e63f3f060b9dac00c): @user_script:41: '
  const cases = [
    ["OOM command not allowed when used memory > 'maxmemory'.", { code: 'REDIS_FULL', final: false, reconnect: false }],
    ["READONLY You can't write against a read only replica.", { code: 'REDIS_REFUSED', final: false, reconnect: true }],
    ['MISCONF Redis is configured to save RDB snapshots', { code: 'REDIS_REFUSED', final: false, reconnect: false }],
  ] as const
  for (const [message, verdict] of cases) {
    expect(refused(`${message} script: 6b818461879b7ea953a81ab9ad7aaeca1590b7ab, on @user_script:1.`)).toEqual(verdict)
    expect(refused(`${wrapped}@user_script: 41: -${message}   `)).toEqual(verdict)
  }
  const type = { code: 'REDIS_REFUSED', final: true, reconnect: false }
  expect(refused(`${wrapped}WRONGTYPE Operation against a key holding the wrong kind of value`)).toEqual(type)
})

test('a missing permission inside a script is one as Redis 6.2, 7.0, 7.2 and 8.0 say it, and Valkey', () => {
  const denied = { code: 'REDIS_REFUSED', final: true, reconnect: false }
  const wrapped = 'ERR Error running script (call to f_0a9a51ee96320953ec7bde8e63f3f060b9dac00c): @user_script:41: '
  const said = "The user executing the script can't run this command or subcommand"
  const messages = [
    `${wrapped}@user_script: 41: ${said} `,
    `ERR ${said} script: ba9f53b2c615b55fb42a3295f062516d30b73566, on @user_script:100.`,
    "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments script: b",
    "NOPERM ACL failure in script: User app has no permissions to run the 'mget' command script: b, on @user_script:100.",
    "ERR ACL failure in script: User app has no permissions to run the 'mget' command script: b, on @user_script:100.",
  ]
  for (const message of messages) {
    expect(refused(message)).toEqual(denied)
    expect(classify(Object.assign(new Error(message), { name: 'ReplyError' }))).toMatchObject({
      error: { message: expect.stringContaining('resqueue doctor --acl') },
    })
  }
})

test('a key that a script finds on another node is on its way in a cluster, and misplaced elsewhere', () => {
  const said = 'Script attempted to access a non local key in a cluster node'
  const valkey9 = 'ERR Attempted to access a non local key in a cluster node script: on @user_script:14.'
  for (const message of [`ERR ${said} script: b, on @user_script:1.`, said, valkey9]) {
    const error = Object.assign(new Error(message), { name: 'ReplyError' })
    expect(classify(error, true)).toMatchObject({ kind: 'refused', final: false })
    expect(classify(error)).toMatchObject({
      final: true,
      error: { message: expect.stringContaining('redis-cluster://') },
    })
  }
})

test('the cause of an error does not hold what was sent: passwords and arguments', () => {
  const sent = (): Error =>
    Object.assign(new Error('WRONGPASS'), { name: 'ReplyError', command: { name: 'auth', args: ['u', 'secret'] } })
  const { error } = classify(sent()) as { error: Error }
  expect(inspect(error, { depth: 9 })).toContain('WRONGPASS')
  expect(inspect([error, lostCall(sent())], { depth: 9 })).not.toContain('secret')
})

test('a Redis that has all the clients it may have is waited for', () => {
  const passing = { code: 'REDIS_REFUSED', final: false, reconnect: false }
  expect(refused('ERR max number of clients reached')).toEqual(passing)
  expect(refused('ERR max number of clients + cluster connections reached')).toEqual(passing)
})

test('a call to a socket that has just closed is told as one without a connection', () => {
  const said = new Error("Stream isn't writeable and enableOfflineQueue options is false")
  expect(lostCall(said).message).toBe('not connected')
})
