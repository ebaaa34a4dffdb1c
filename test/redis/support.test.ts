import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { descendants, isAlive, offspring, zombies } from '../support/proc.ts'
import { spawnNode } from '../support/process.ts'
import { startProxy, type Fault } from '../support/proxy.ts'
import { namespaceOf, openClient, snapshot, startRedis } from '../support/redis.ts'
import { startCluster } from '../support/cluster.ts'
import { startSentinel } from '../support/sentinel.ts'
import { startTlsRedis } from '../support/tls.ts'
import { latch, waitFor } from '../support/wait.ts'

test('a namespace belongs to one test and its snapshot is byte-exact', async ({ redis, ns }) => {
  await redis.set(`${ns}:text`, 'ä')
  await redis.set(`${ns}:bytes`, Buffer.from([0xff, 0x00]), 'EX', 100)
  await redis.rpush(`${ns}:list`, 'b', 'a')
  await redis.sadd(`${ns}:set`, 'b', 'a')
  await redis.hset(`${ns}:hash`, { y: '1.10', x: '[]' })
  await redis.zadd(`${ns}:zset`, 1.5, 'm')
  expect(await snapshot(redis, ns)).toEqual({
    text: { type: 'string', value: 'ä', expires: false },
    bytes: { type: 'string', value: 'base64:/wA=', expires: true },
    list: { type: 'list', value: ['b', 'a'], expires: false },
    set: { type: 'set', value: ['a', 'b'], expires: false },
    hash: { type: 'hash', value: { x: '[]', y: '1.10' }, expires: false },
    zset: { type: 'zset', value: { m: '1.5' }, expires: false },
  })
})

test('the namespace of a passed test is gone in the next one', async ({ redis }) => {
  const gone = namespaceOf(import.meta.filename, 'a namespace belongs to one test and its snapshot is byte-exact')
  expect(await snapshot(redis, gone)).toEqual({})
})

test('a server can be stopped, paused, killed and restarted on its port', async () => {
  const server = await startRedis({ args: ['--appendonly', 'yes'] })
  const { pid, port } = server
  const client = server.client()
  await client.set('a', '1')
  server.pause()
  const answer = client.get('a')
  expect(await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 100, 'nothing'))])).toBe('nothing')
  server.resume()
  expect(await answer).toBe('1')
  await server.restart()
  expect([server.port, server.pid === pid]).toEqual([port, false])
  expect(await server.client().get('a')).toBe('1')
  await server.kill()
  expect(server.running).toBe(false)
})

const proxied = async (target: { port: number }) => {
  const proxy = await startProxy(target)
  return { proxy, client: openClient(proxy.url, { retryStrategy: () => null, maxRetriesPerRequest: 0 }) }
}
const portOf = (url: string): { port: number } => ({ port: Number(new URL(url).port) })

test('the proxy passes everything and counts it', async ({ redisUrl, ns }) => {
  const { proxy, client } = await proxied(portOf(redisUrl))
  const big = Buffer.alloc(5_000_000, 'x')
  await client.pipeline().set(`${ns}:big`, big).incr(`${ns}:n`).incr(`${ns}:n`).exec()
  expect((await client.getBuffer(`${ns}:big`))?.equals(big)).toBe(true)
  expect([proxy.count('incr'), proxy.count('SET'), proxy.connections]).toEqual([2, 1, 1])
})

test.for<[Fault['kind'], string | null]>([
  ['cut-before', null],
  ['cut-after', '1'],
  ['drop-reply', '1'],
])('the proxy can lose a call: %s', async ([kind, after], { redis, redisUrl, ns }) => {
  const { proxy, client } = await proxied(portOf(redisUrl))
  const fault = proxy.on('INCR', { kind } as Fault)
  await expect(client.incr(`${ns}:n`)).rejects.toThrow(/closed/i)
  if (after !== null) expect((await fault.performed).toString()).toBe(':1\r\n')
  expect(await redis.get(`${ns}:n`)).toBe(after)
  expect(fault.hits).toBe(1)
})

test('the proxy can deliver the bytes of a dead socket late', async ({ redis, redisUrl, ns }) => {
  const { proxy, client } = await proxied(portOf(redisUrl))
  const later = latch()
  const fault = proxy.on(/^INCR .*:n/, { kind: 'late', until: later.promise })
  await expect(client.incr(`${ns}:n`)).rejects.toThrow(/closed/i)
  expect(await redis.get(`${ns}:n`)).toBeNull()
  later.open()
  await fault.performed
  expect(await redis.get(`${ns}:n`)).toBe('1')
})

test('late bytes are performed behind a command that still waits', async ({ redis, redisUrl, ns }) => {
  const { proxy, client } = await proxied(portOf(redisUrl))
  const fault = proxy.on(/^INCR .*:n/, { kind: 'late', until: Promise.resolve() })
  const replies = Promise.allSettled([client.blpop(`${ns}:none`, 1), client.incr(`${ns}:n`)])
  await fault.performed
  expect(await redis.get(`${ns}:n`)).toBe('1')
  await replies
})

test('the proxy can send twice, delay, and answer for Redis', async ({ redisUrl, ns }) => {
  const { proxy, client } = await proxied(portOf(redisUrl))
  proxy.on('INCR', { kind: 'twice' })
  expect(await client.incr(`${ns}:n`)).toBe(2)
  proxy.on('GET', { kind: 'delay-reply', ms: 150 })
  const before = performance.now()
  expect(await Promise.all([client.get(`${ns}:n`), client.exists(`${ns}:n`)])).toEqual(['2', 1])
  expect(performance.now() - before).toBeGreaterThan(140)
  proxy.on('GET', { kind: 'answer', reply: '-READONLY no\r\n' })
  const replies = await Promise.allSettled([client.exists(`${ns}:n`), client.get(`${ns}:n`), client.exists(`${ns}:n`)])
  expect(replies.map((r) => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
})

test('the proxy can hold all traffic, cut all connections and refuse new ones', async ({ redisUrl, ns }) => {
  const { proxy, client } = await proxied(portOf(redisUrl))
  await client.incr(`${ns}:n`)
  proxy.hold()
  const held = client.incr(`${ns}:n`)
  expect(await Promise.race([held, new Promise((resolve) => setTimeout(resolve, 100, 'nothing'))])).toBe('nothing')
  proxy.release()
  expect(await held).toBe(2)
  proxy.cut()
  proxy.refusing = true
  await waitFor(() => client.status === 'end')
  await expect(openClient(proxy.url, { retryStrategy: () => null, maxRetriesPerRequest: 0 }).ping()).rejects.toThrow()
})

test('a process is watched line by line, paused and killed', async () => {
  const child = spawnNode([
    '-e',
    'console.log("ready"); console.error("oops"); process.stdin.on("data", (d) => console.log("got", String(d).trim()))',
  ])
  await child.waitForLine('ready')
  await child.waitForLine(/^oops$/, { stream: 'stderr' })
  expect(descendants().map((p) => p.pid)).toContain(child.pid)
  expect(offspring().map((p) => p.pid)).toContain(child.pid)
  child.pause()
  child.stdin.write('hello\n')
  child.resume()
  expect(await child.waitForLine('got')).toBe('got hello')
  expect(isAlive(child.pid)).toBe(true)
  expect(await child.kill()).toEqual({ code: null, signal: 'SIGKILL' })
  expect(isAlive(child.pid)).toBe(false)
  expect(zombies()).toEqual([])
})

test('waiting for a line of a process that ends says what it wrote', async () => {
  const child = spawnNode(['-e', 'console.error("broken"); process.exit(3)'])
  await expect(child.waitForLine('never')).rejects.toThrow(/ended \(3\).*broken/s)
  expect(await child.waitForExit()).toEqual({ code: 3, signal: null })
})

test('a primary behind Sentinels fails over', async () => {
  const setup = await startSentinel()
  const old = await setup.primary()
  const next = await setup.failover()
  expect(next.port).not.toBe(old.port)
  expect(await next.client().set('a', '1')).toBe('OK')
})

test('a cluster serves all slots', async () => {
  const { nodes } = await startCluster()
  const replies = await Promise.all(nodes.map((node) => node.client().set('a', '1').catch(String)))
  expect(replies.filter((reply) => reply === 'OK')).toHaveLength(1)
  expect(replies.filter((reply) => reply.includes('MOVED'))).toHaveLength(2)
})

test('a server behind TLS is reached by whoever trusts its certificate', async () => {
  const { url, ca, cert, key } = await startTlsRedis({ clientAuth: true })
  const tls = { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) }
  expect(await openClient(url, { tls }).ping()).toBe('PONG')
  await expect(openClient(url, { retryStrategy: () => null }).ping()).rejects.toThrow()
})
