import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openConnections } from '../../src/controller/connections.ts'
import { readConnections } from '../../src/controller/connectionsfile.ts'
import { createLogger, silentLogger } from '../../src/log.ts'
import { own } from '../support/scope.ts'

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'resqueue-connections-'))
  own('folder', () => rmSync(dir, { recursive: true, force: true }))
  return dir
}

function write(dir: string, name: string, text: string): string {
  const file = join(dir, name)
  writeFileSync(file, text)
  return file
}

const problemOf = (text: string): string => {
  try {
    readConnections(write(folder(), 'c.yaml', text))
  } catch (error) {
    expect(error).toMatchObject({ code: 'CONFIG', exitCode: 78 })
    return (error as Error).message
  }
  throw new Error('Nothing was wrong')
}

test('connections come from YAML, with what is secret in files of its own', () => {
  const dir = folder()
  const url = write(dir, 'url', 'rediss://cache:6380/2\n')
  const file = write(
    dir,
    'c.yaml',
    `connections:
  default: { url: 'redis://one', namespace: '{r}', allowedNamespaces: [team-a, team-b] }
  other: { urlFile: ${url}, username: me, passwordFile: /p, sentinelUsername: watch, sentinelPasswordFile: /s, caFile: /ca, certFile: /c, keyFile: /k, db: 3, maxRecoveries: 0 }
`,
  )
  const read = readConnections(file)
  expect(read.get('default')).toEqual({
    kind: 'ok',
    config: {
      redis: { url: 'redis://one', namespace: '{r}' },
      allowedNamespaces: ['team-a', 'team-b'],
      maxRecoveries: 3,
    },
  })
  expect(read.get('other')).toEqual({
    kind: 'ok',
    config: {
      redis: {
        url: 'rediss://me:@cache:6380/2',
        namespace: 'resque',
        db: 3,
        passwordFile: '/p',
        sentinel: { username: 'watch', passwordFile: '/s' },
        tls: { ca: '/ca', cert: '/c', key: '/k' },
      },
      allowedNamespaces: ['*'],
      maxRecoveries: 0,
    },
  })
})

test('what is wrong is said with its place', () => {
  expect(problemOf('connections: [a]')).toContain('connections: must map names')
  expect(problemOf('connections: { a: { urll: x } }')).toContain(
    'connections.a.urll: there is no such field; did you mean url?',
  )
  expect(problemOf('connections: { a: {} }')).toContain('connections.a: needs url or urlFile')
  expect(problemOf('connections: { a: { url: "http://x" } }')).toContain('connections.a.url')
  expect(problemOf('connections: { a: { url: "redis://x", certFile: /c } }')).toContain('both certFile and keyFile')
  expect(problemOf('connections: { a: { url: "redis://x", allowedNamespaces: "*" } }')).toContain('allowedNamespaces')
  expect(problemOf('connections: { a: { url: "redis://x", allowedNamespaces: [5] } }')).toContain(
    'connections.a.allowedNamespaces.0: must be a Kubernetes namespace',
  )
  expect(problemOf('connections: { a: 5 }')).toContain('connections.a: must be an object, not 5')
  expect(problemOf('connections: { a: { url: "redis://x", db: -1 } }')).toContain('connections.a.db: must be a whole')
  // A slip is told before a file that is not there.
  expect(problemOf('connections: { a: { urlFile: /none, dbb: 1 } }')).toContain('did you mean db?')
  expect(problemOf('connections: { a: { url: "redis-cluster://x" } }')).toContain('{resque}')
  expect(problemOf('{')).toContain('c.yaml:1: this is not YAML')
})

test('a scaler gets the connection that it names, where its namespace may', () => {
  const file = write(folder(), 'c.yaml', 'connections: { a: { url: "redis://x", allowedNamespaces: [team-a] } }')
  const connections = openConnections({ kind: 'file', file }, silentLogger)
  own('connections', () => connections.close())
  expect(connections.find('a', 'team-a')).toMatchObject({ kind: 'ok', connection: { name: 'a' } })
  expect(connections.find('a', 'team-b')).toMatchObject({
    kind: 'forbidden',
    message: expect.stringContaining('team-b'),
  })
  expect(connections.find('b', 'team-a')).toMatchObject({
    kind: 'unknown',
    message: expect.stringContaining('it has "a"'),
  })
})

test('a namespace is told nothing of connections that are for others', () => {
  const theirs =
    'a: { url: "redis://x", allowedNamespaces: [team-a] }, b: { urlFile: /none, allowedNamespaces: [team-a] }'
  const file = write(folder(), 'c.yaml', `connections: { ${theirs}, c: { url: "redis://y" } }`)
  const connections = openConnections({ kind: 'file', file }, silentLogger)
  own('connections', () => connections.close())
  expect(connections.find('x', 'team-a')).toMatchObject({ message: expect.stringContaining('it has "a", "b", "c"') })
  expect(connections.find('x', 'team-b')).toMatchObject({ message: expect.stringContaining('it has "c"') })
  expect(connections.find('b', 'team-a')).toMatchObject({ message: expect.stringContaining('/none') })
  expect(connections.find('b', 'team-b')).toMatchObject({
    kind: 'forbidden',
    message: expect.not.stringContaining('/none'),
  })
})

test('a changed file, or a changed file that it names, is a new connection; a broken one changes nothing', () => {
  const dir = folder()
  const password = write(dir, 'password', 'one')
  const file = write(dir, 'c.yaml', `connections: { a: { url: "redis://x", passwordFile: ${password} } }`)
  const connections = openConnections({ kind: 'file', file }, silentLogger)
  own('connections', () => connections.close())
  const opened = (): unknown => {
    const found = connections.find('a', 'any')
    return found.kind === 'ok' ? found.connection.store : found
  }
  const first = opened()
  connections.refresh()
  expect(opened()).toBe(first)
  writeFileSync(password, 'two')
  connections.refresh()
  const second = opened()
  expect(second).not.toBe(first)
  writeFileSync(file, 'connections: 5')
  connections.refresh()
  expect(opened()).toBe(second)
  writeFileSync(file, 'connections: {}')
  connections.refresh()
  expect(connections.find('a', 'any')).toMatchObject({ kind: 'unknown' })
})

test('a URL that cannot be read or used is the trouble of its connection alone, until it can', () => {
  const dir = folder()
  const url = join(dir, 'url')
  const file = write(dir, 'c.yaml', `connections: { a: { url: "redis://x" }, b: { urlFile: ${url} } }`)
  const told: string[] = []
  const log = createLogger({ level: 'error', destination: { write: (line) => void told.push(line) } })
  const connections = openConnections({ kind: 'file', file }, log)
  own('connections', () => connections.close())
  const b = (): unknown => connections.find('b', 'any')
  expect(connections.find('a', 'any')).toMatchObject({ kind: 'ok' })
  expect(b()).toMatchObject({
    kind: 'unknown',
    message: expect.stringMatching(/"b" cannot be used\..*b\.urlFile: ENOENT/),
  })
  connections.refresh()
  expect(told).toHaveLength(1)
  writeFileSync(url, 'http://x')
  connections.refresh()
  expect(b()).toMatchObject({ kind: 'unknown', message: expect.stringContaining('b.urlFile: ') })
  expect(told).toHaveLength(2)
  writeFileSync(url, 'redis://y')
  connections.refresh()
  const opened = b()
  expect(opened).toMatchObject({ kind: 'ok', connection: { redis: { url: 'redis://y' } } })
  // One that has worked stays as it was.
  rmSync(url)
  connections.refresh()
  expect(b()).toEqual(opened)
  expect(told).toHaveLength(3)
})
