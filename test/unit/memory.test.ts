import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { privateBytes } from '../../src/worker/memory.ts'

test.runIf(process.platform === 'linux')('the private memory of a process is what the kernel counts in bytes', () => {
  const held = Buffer.alloc(64 * 1024 * 1024, 1)
  const counted = Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024
  expect(privateBytes(process.pid)).toBeGreaterThan(0.8 * counted)
  expect(privateBytes(process.pid)).toBeLessThan(1.25 * counted)
  expect(held.length).toBeLessThan(counted)
})

test('a process that is gone has none', () => {
  expect(privateBytes(2 ** 22 + 1)).toBeUndefined()
})
