import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { inspect } from 'node:util'
import { expect } from 'vitest'
import { openConnections } from '../../src/controller/connections.ts'
import type { ResQueueError } from '../../src/errors.ts'
import { silentLogger } from '../../src/log.ts'
import { queueInfos, removeQueue } from '../../src/queue/queues.ts'
import { openStore, type Store } from '../../src/redis/store.ts'
import { startCluster, startTlsCluster } from '../support/cluster.ts'
import { startProxy } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { test } from '../support/fixtures.ts'
import { own } from '../support/scope.ts'
import { startGuardedSentinel, startTlsSentinel } from '../support/sentinel.ts'
import { startTlsRedis } from '../support/tls.ts'
import { waitFor } from '../support/wait.ts'
import { openTestLane } from './client.ts'

/** A file that holds a password, a certificate or a key; removed after the test. */
function writeSecret(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'resqueue-secret-'))
  own('folder', () => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'password')
  writeFileSync(file, text)
  return file
}

test('a password file that is missing for a moment costs nothing: the password in hand is tried', async () => {
  const passwordFile = writeSecret('secret\n')
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

test('no error shows a password or the arguments of a job, however deep it is printed', async () => {
  const options = { args: ['--requirepass', 'right'], password: 'right' }
  const single = await startRedis(options)
  const cluster = await startRedis({ ...options, args: [...options.args, '--cluster-enabled', 'yes'] })
  const open = (url: string): Store => {
    const store = openStore({ url, namespace: '{x}' })
    own('store', () => store.close())
    return store
  }
  const [known, stranger, lost] = [
    open(`redis://:right@127.0.0.1:${single.port}`),
    open(`redis://:s3cret@127.0.0.1:${single.port}`),
    open(`redis-cluster://:s3cret@127.0.0.1:${cluster.port}`),
  ]
  const set = ['{x}:a', 's3cret', 'odd'] as const
  const errors = await Promise.all([
    known.command('set', set).catch((error: unknown) => error),
    known.pipeline([['set', ...set]]).then(([error]) => error),
    stranger.command('ping', []).catch((error: unknown) => error),
    lost.command('ping', [], { deadlineMs: 1000 }).catch((error: unknown) => error),
  ])
  const refused = { code: 'REDIS_REFUSED' }
  expect(errors).toMatchObject([refused, refused, refused, { code: 'REDIS_UNAVAILABLE' }])
  expect(inspect(errors, { depth: 10, showHidden: true })).not.toContain('s3cret')
})

test('a password that is rotated reaches the nodes of a cluster', async () => {
  const passwordFile = writeSecret('old')
  const args = ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1', '--requirepass', 'old']
  const node = await startRedis({ args, password: 'old' })
  own('redis', () => node[Symbol.asyncDispose]())
  const admin = node.client()
  await admin.call('cluster', 'addslotsrange', 0, 16_383)
  await waitFor(async () => String(await admin.call('cluster', 'info')).includes('cluster_state:ok'))
  const store = openStore({ url: `redis-cluster://127.0.0.1:${node.port}`, namespace: '{x}', passwordFile })
  own('store', () => store.close())
  expect(await store.command('ping', [])).toBe('PONG')
  writeFileSync(passwordFile, 'new')
  await admin.call('config', 'set', 'requirepass', 'new')
  await admin.call('client', 'kill', 'type', 'normal', 'skipme', 'yes')
  expect(await store.command('ping', [], { rotation: true })).toBe('PONG')
})

test('a certificate is read anew for every connection', async () => {
  const { url, ca, cert, key } = await startTlsRedis({ clientAuth: true })
  const stranger = await startTlsRedis()
  const mine = { cert: writeSecret(''), key: writeSecret('') }
  const show = (pair: typeof mine): void => {
    for (const part of ['cert', 'key'] as const) copyFileSync(pair[part], mine[part])
  }
  show(stranger)
  const store = openStore({ url, namespace: 'x', tls: { ca, ...mine } })
  own('store', () => store.close())
  await expect(store.command('ping', [], { deadlineMs: 500 })).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
  show({ cert, key })
  expect(await store.command('ping', [])).toBe('PONG')
})

test('a TLS server is told which of its names is meant', async () => {
  const { cert, key } = await startTlsRedis()
  const named = Promise.withResolvers<unknown>()
  const server = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, (socket) => {
    socket.on('error', () => socket.destroy())
    named.resolve(socket.servername)
  })
  await new Promise<void>((resolve) => server.listen(0, resolve))
  own('server', () => void server.close())
  const url = `rediss://localhost:${(server.address() as AddressInfo).port}`
  const store = openStore({ url, namespace: 'x', tls: { ca: cert } })
  own('store', () => store.close())
  store.command('ping', []).catch(() => undefined)
  expect(await named.promise).toBe('localhost')
})

test('a connection that is lost in the middle of a call is told as that', async ({ redisUrl }) => {
  const proxy = await startProxy({ port: Number(new URL(redisUrl).port) })
  own('proxy', () => proxy.close())
  const store = openStore({ url: proxy.url, namespace: 'x' })
  own('store', () => store.close())
  expect(await store.command('ping', [])).toBe('PONG')
  proxy.on('ping', { kind: 'cut-after' })
  const troubles: string[] = []
  const trouble = (error: Error | undefined): void => void troubles.push(error?.message ?? 'over')
  expect(await store.command('ping', [], { trouble })).toBe('PONG')
  expect(troubles[0]).toBe('the connection was lost before the answer came')
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
  const said = "what answers there does not speak Redis' protocol"
  const troubles: (string | undefined)[] = []
  const trouble = (error: Error | undefined): void => void troubles.push(error?.message)
  await expect(store.command('ping', [], { deadlineMs: 2000, trouble })).rejects.toMatchObject({
    code: 'REDIS_UNAVAILABLE',
    message: expect.stringContaining(said),
  })
  expect(troubles[0]).toBe(said)
})

test('a Redis without TLS, which says nothing to a greeting in TLS, is told as that', async ({ redisUrl }) => {
  const store = openStore({ url: redisUrl.replace('redis:', 'rediss:'), namespace: 'x' })
  own('store', () => store.close())
  await expect(store.command('ping', [], { deadlineMs: 500 })).rejects.toMatchObject({
    code: 'REDIS_UNAVAILABLE',
    message: expect.stringContaining('no TLS connection came about'),
  })
})

test('a TLS file that cannot be read is told with the option that names it', async () => {
  const store = openStore({ url: 'rediss://127.0.0.1:1', namespace: 'x', tls: { cert: '/no/such.pem' } })
  own('store', () => store.close())
  await expect(store.command('ping', [])).rejects.toMatchObject({
    code: 'CONFIG',
    message: expect.stringMatching(/tls\.cert, --redis-cert or REDIS_TLS_CERT .*ENOENT.*\/no\/such\.pem/),
  })
})

test('a TLS file without what it is named for is told before anything is connected to', async () => {
  const [one, other] = await Promise.all([startTlsRedis(), startTlsRedis()])
  for (const [tls, said] of [
    [{ ca: one.key }, /REDIS_TLS_CA holds no certificate in PEM \(.*key\.pem\)/],
    [{ cert: one.key, key: one.key }, /REDIS_TLS_CERT holds no certificate/],
    [{ cert: one.cert, key: one.cert }, /REDIS_TLS_KEY holds no private key/],
    [{ cert: one.cert, key: other.key }, /do not go together/],
  ] as const) {
    const store = openStore({ url: one.url, namespace: 'x', tls })
    own('store', () => store.close())
    const message = expect.stringMatching(said) as string
    await expect(store.command('ping', [])).rejects.toMatchObject({ code: 'CONFIG', message })
  }
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

test('Sentinels that ask for a password are given that of Redis, and the new one after it was changed', async () => {
  const passwordFile = writeSecret('first')
  const primary = await startRedis({ args: ['--requirepass', 'first'], password: 'first' })
  const sentinel = await startGuardedSentinel(primary, { own: 'first', primary: 'first' })
  const [admin, sentinelAdmin] = [primary.client(), sentinel.client({ password: 'first' })]
  const store = openStore({ url: `redis-sentinel://127.0.0.1:${sentinel.port}/mymaster`, namespace: 'x', passwordFile })
  own('store', () => store.close())
  expect(await store.command('ping', [])).toBe('PONG')
  for (const one of [admin, sentinelAdmin]) await one.call('ACL', 'SETUSER', 'default', 'resetpass', '>second')
  writeFileSync(passwordFile, 'second')
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  expect(await store.command('ping', [])).toBe('PONG')
})

test('Sentinels that ask for none are given none', async () => {
  const primary = await startRedis({ args: ['--requirepass', 'secret'], password: 'secret' })
  const proxy = await startProxy(await startGuardedSentinel(primary, { primary: 'secret' }), { record: true })
  const store = openStore({ url: `redis-sentinel://:secret@127.0.0.1:${proxy.port}/mymaster`, namespace: 'x' })
  own('store', () => store.close())
  expect(await store.command('ping', [])).toBe('PONG')
  expect(proxy.requests.map((text) => text.split(' ')[0])).not.toContain('AUTH')
})

test('Sentinels with users of their own are given user and password of their own, and the new one after it was changed', async () => {
  const passwordFile = writeSecret('first\n')
  const primary = await startRedis({ args: ['--requirepass', 'secret'], password: 'secret' })
  const sentinel = await startGuardedSentinel(primary, { own: 'other', primary: 'secret' })
  const [admin, sentinelAdmin] = [primary.client(), sentinel.client({ password: 'other' })]
  const rights = ['resetpass', '-@all', '+auth', '+sentinel|get-master-addr-by-name', '+sentinel|sentinels']
  await sentinelAdmin.call('ACL', 'SETUSER', 'app', 'on', ...rights, '>first')
  const url = `redis-sentinel://:secret@127.0.0.1:${sentinel.port}/mymaster`
  for (const more of [{ passwordFile }, { password: 'first' }]) {
    const store = openStore({ url, namespace: 'x', sentinel: { username: 'app', ...more } })
    own('store', () => store.close())
    expect(await store.command('ping', [])).toBe('PONG')
    if (!('passwordFile' in more)) continue
    await sentinelAdmin.call('ACL', 'SETUSER', 'app', ...rights, '>second')
    writeFileSync(passwordFile, 'second\n')
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    expect(await store.command('ping', [])).toBe('PONG')
    await sentinelAdmin.call('ACL', 'SETUSER', 'app', ...rights, '>first')
  }
})

test('Sentinels with a password of their own say so', async () => {
  const primary = await startRedis({ args: ['--requirepass', 'secret'], password: 'secret' })
  const sentinel = await startGuardedSentinel(primary, { own: 'other', primary: 'secret' })
  const store = openStore({ url: `redis-sentinel://:secret@127.0.0.1:${sentinel.port}/mymaster`, namespace: 'x' })
  own('store', () => store.close())
  await expect(store.command('ping', [])).rejects.toMatchObject({
    code: 'REDIS_REFUSED',
    message: expect.stringContaining('The Sentinels refuse the user name or password'),
  })
})

test('nodes of a cluster with TLS are known by their addresses, by names that they announce, or by those of the URL', async () => {
  const announced = ['--cluster-announce-hostname', 'localhost', '--cluster-preferred-endpoint-type', 'hostname']
  const good = [
    [['localhost'], [], 'localhost'],
    [['localhost'], announced, 'localhost'],
    [['127.0.0.1'], [], '127.0.0.1'],
  ] as const
  const bad = [
    [['elsewhere.example'], [], 'localhost'],
    [['localhost'], [], '127.0.0.1'],
    [['127.0.0.1'], [], 'localhost'],
  ] as const
  const ping = async (
    [names, args, host]: (typeof good | typeof bad)[number],
    deadlineMs: number,
  ): Promise<unknown> => {
    const { server, ca } = await startTlsCluster(names, args)
    const store = openStore({ url: `rediss-cluster://${host}:${server.port}`, namespace: '{x}', tls: { ca } })
    own('store', () => store.close())
    return store.command('ping', [], { deadlineMs }).catch(({ code }: ResQueueError) => code)
  }
  const answers = await Promise.all([...good.map((one) => ping(one, 15_000)), ...bad.map((one) => ping(one, 3000))])
  const refused = 'REDIS_UNAVAILABLE'
  expect(answers).toEqual(['PONG', 'PONG', 'PONG', refused, refused, refused])
})

test('a command that a script may not use is told as a missing permission', async () => {
  const server = await startRedis()
  const admin = server.client()
  await admin.call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '&*', '+@all', '-lindex')
  await admin.rpush('x:queue:a', 'job')
  const store = openStore({ url: `redis://app:pw@127.0.0.1:${server.port}`, namespace: 'x' })
  own('store', () => store.close())
  await expect(queueInfos(store, ['a'])).rejects.toThrow('resqueue doctor --acl')
})

test('a user whose password stands in a file is known to Redis by its name, from a URL and from a connection of the controller', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'resqueue-user-'))
  own('folder', () => rmSync(folder, { recursive: true, force: true }))
  const [passwordFile, file] = [join(folder, 'password'), join(folder, 'connections.yaml')]
  const server = await startRedis()
  await server.client().call('ACL', 'SETUSER', 'app', 'on', '>secret', '>@o/rd', '~*', '+@all')
  writeFileSync(passwordFile, 'secret\n')
  writeFileSync(
    file,
    `connections:
  named: { url: 'redis://127.0.0.1:${server.port}', username: app, passwordFile: ${passwordFile} }
  renamed: { url: 'redis://old:word@127.0.0.1:${server.port}', username: app, passwordFile: ${passwordFile} }
  pasted: { url: 'redis://old:w@o/rd@127.0.0.1:${server.port}', username: app }
`,
  )
  const store = openStore({ url: `redis://app@127.0.0.1:${server.port}`, namespace: 'x', passwordFile })
  own('store', () => store.close())
  expect(await store.command('acl', ['WHOAMI'])).toBe('app')
  const connections = openConnections({ kind: 'file', file }, silentLogger)
  own('connections', () => connections.close())
  for (const name of ['named', 'renamed']) {
    const found = connections.find(name, 'any')
    expect(found.kind === 'ok' && (await found.connection.store.command('acl', ['WHOAMI']))).toBe('app')
  }
  // What is left of the old password is not the new one.
  const pasted = connections.find('pasted', 'any')
  await expect(pasted.kind === 'ok' && pasted.connection.store.command('ping', [])).rejects.toMatchObject({
    code: 'REDIS_REFUSED',
  })
})

test('the URL of a single server does not do for a Redis Cluster', async () => {
  const { nodes } = await startCluster()
  const told = nodes.map(({ url }) => removeQueue(openTestLane(url, 'x'), 'a').catch((error: Error) => error.message))
  expect(await Promise.all(told)).toEqual(nodes.map(() => expect.stringContaining('Use a redis-cluster:// URL')))
})

test('however many calls wait for a Redis that is away, Node warns of no leak', async ({ ns }) => {
  const warnings: string[] = []
  const heard = ({ name }: Error): number => warnings.push(name)
  process.on('warning', heard)
  own('warnings', () => void process.off('warning', heard))
  const store = openStore({ url: 'redis://127.0.0.1:1', namespace: ns })
  own('store', () => store.close())
  const calls = Array.from({ length: 30 }, () => store.command('ping', [], { deadlineMs: 300 }))
  const ends = await Promise.allSettled(calls)
  expect(new Set(ends.map(({ status }) => status))).toEqual(new Set(['rejected']))
  expect(warnings).toEqual([])
})
