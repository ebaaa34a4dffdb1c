import { expect, test } from 'vitest'
import { classify } from '../../src/redis/replies.ts'

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
