import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { ROOT } from '../support/process.ts'

/** What the young generation takes of memory, in MiB, after much garbage of which a little is alive at any time. */
function youngAfterGarbage(first: string): number {
  const script = `
    import { getHeapSpaceStatistics } from 'node:v8'
    import { keepHeapSmall } from '${ROOT}/src/worker/heap.ts'
    ${first}
    const alive = new Array(20_000)
    for (let i = 0; i < 2_000_000; i++) alive[i % alive.length] = { i, text: 'x' + i }
    const space = getHeapSpaceStatistics().find((one) => one.space_name === 'new_space')
    console.log(space.space_size / 2 ** 20)`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  expect(stderr).toBe('')
  return Number(stdout)
}

test('garbage does not make a heap that is to stay small grow, as it does any other, and V8 knows the flag for it', () => {
  const [small, usual] = [youngAfterGarbage('keepHeapSmall()'), youngAfterGarbage('')]
  expect(small).toBeGreaterThan(0)
  expect(small).toBeLessThan(usual / 2)
}, 120_000)
