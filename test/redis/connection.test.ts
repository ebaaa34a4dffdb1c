import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { openStore } from '../../src/redis/store.ts'
import { startRedis } from '../support/redis.ts'
import { test } from '../support/fixtures.ts'
import { own } from '../support/scope.ts'
import { startTlsSentinel } from '../support/sentinel.ts'
import { startTlsRedis } from '../support/tls.ts'

test('a password file that is missing for a moment costs nothing: the password in hand is tried', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'resqueue-password-'))
  own('folder', () => rmSync(folder, { recursive: true, force: true }))
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, 'secret\n')
  const server = await startRedis({ args: ['--requirepass', 'secret'], password: 'secret' })
  own('redis', () => server[Symbol.asyncDispose]())
  const admin = server.client()
  const store = openStore({ url: `redis://127.0.0.1:${server.port}`, namespace: 'x', passwordFile })
  own('store', () => store.close())
  expect(await store.command('ping', [])).toBe('PONG')
  rmSync(passwordFile)
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  expect(await store.command('ping', [])).toBe('PONG')
})

test('what answers without being a Redis is told apart from one that is away', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  own('server', () => server.close())
  const { port } = server.address() as AddressInfo
  const store = openStore({ url: `redis://127.0.0.1:${port}`, namespace: 'x' })
  own('store', () => store.close())
  await expect(store.command('ping', [], { deadlineMs: 500 })).rejects.toMatchObject({
    code: 'REDIS_UNAVAILABLE',
    message: expect.stringContaining("what answers there does not speak Redis' protocol"),
  })
})

test('with TLS nothing is said in clear, neither to the Sentinels nor to the primary that they name', async () => {
  const primary = await startTlsRedis()
  const port = await startTlsSentinel(primary)
  for (const scheme of ['rediss-sentinel', 'redis-sentinel']) {
    const url = `${scheme}://127.0.0.1:${port}/mymaster`
    const store = openStore({ url, namespace: 'x', tls: { ca: primary.ca } })
    own('store', () => store.close())
    expect(await store.command('ping', [])).toBe('PONG')
  }
  const first = Promise.withResolvers<Buffer>()
  const listener = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.once('data', (bytes) => {
      first.resolve(Buffer.from(bytes))
      socket.destroy()
    })
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  own('listener', () => listener.close())
  const url = `rediss-sentinel://127.0.0.1:${(listener.address() as AddressInfo).port}/mymaster`
  const store = openStore({ url, namespace: 'x' })
  own('store', () => store.close())
  await expect(store.command('ping', [], { deadlineMs: 300 })).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
  expect([...(await first.promise).subarray(0, 2)]).toEqual([0x16, 0x03])
})
