import { describe, expect, test } from 'vitest'
import { parseEndpoint, redactUrl } from '../../src/redis/url.ts'

const parse = (url: string): ReturnType<typeof parseEndpoint> => parseEndpoint({ url, namespace: '{resque}' })

describe('a Redis URL', () => {
  test.each([
    ['redis://:p@ss@h:1/2', undefined, 'p@ss'],
    ['redis://u:a/b?c#d@h:1/2', 'u', 'a/b?c#d'],
    ['redis://u:50%25%40@h:1/2', 'u', '50%@'],
    ['redis://word@h:1/2', undefined, 'word'],
    ['u:p:q@h:1/2', 'u', 'p:q'],
    ['h:1/2', undefined, undefined],
  ])('%s has its password up to the last @, and never shows it', (url, username, password) => {
    const endpoint = parse(url)
    expect(endpoint).toMatchObject({ kind: 'single', host: 'h', port: 1, db: 2 })
    expect([endpoint.username, endpoint.password]).toEqual([username, password])
    expect(redactUrl(url)).not.toMatch(/ss@|a\/b|50|word|p:q/)
  })

  test.each([
    ['redis://app@h', 'app', 'secret'],
    ['app@h', 'app', 'secret'],
    ['redis://app:word@h', 'app', 'secret'],
    ['redis://:word@h', undefined, 'secret'],
  ])('%s with a password of its own besides', (url, username, password) => {
    const endpoint = parseEndpoint({ url, namespace: 'x', password: 'secret' })
    expect([endpoint.username, endpoint.password]).toEqual([username, password])
    expect(parseEndpoint({ url, namespace: 'x', passwordFile: '/p' }).username).toBe(username)
  })

  test('is shown with its user and without its password', () => {
    expect(redactUrl('redis://u:p@h:1')).toBe('redis://u:***@h:1')
    expect(redactUrl('u:p@h')).toBe('u:***@h')
    expect(redactUrl('redis://:p/q@h')).toBe('redis://***@h')
    expect(redactUrl('unix:///run/a@b.sock')).toBe('unix:///run/a@b.sock')
    expect(redactUrl('redis-sentinel://:p@h1:1,h2:2/name')).toBe('redis-sentinel://***@h1:1,h2:2/name')
  })

  test.each([
    ['redis://h?db=3', 3],
    ['redis://h/2?db=3', 2],
    ['redis://h/2?family=0', 2],
    ['unix:///run/redis.sock?db=4', 4],
    ['redis-sentinel://h/mymaster?db=5', 5],
  ])('%s means database %d', (url, db) => {
    expect(parse(url).db).toBe(db)
    expect(() => parse(url.replace(/=.*/, '=x').replace('family', 'db').replace('/2', ''))).toThrow(
      /not a database number/,
    )
  })

  test('a socket is named by its whole path', () => {
    expect(parse('unix:///run/a@b.sock')).toMatchObject({ kind: 'socket', path: '/run/a@b.sock' })
    expect(parse('unix://u:p@/run/redis.sock')).toMatchObject({ path: '/run/redis.sock', username: 'u', password: 'p' })
    for (const url of ['unix://', 'unix://run/redis.sock']) {
      expect(() => parse(url)).toThrow(expect.objectContaining({ code: 'USAGE' }))
    }
  })

  test.each(['resque', '', '{}', '{}x{a}', '{a', 'a}'])('of a cluster goes with no namespace like %j', (namespace) => {
    expect(() => parseEndpoint({ url: 'redis-cluster://h', namespace })).toThrow(/needs a namespace with a hash tag/)
  })

  test.each(['{resque}', 'a:{b}:c', '{a}{}', '}{a}'])('of a cluster goes with a namespace like %j', (namespace) => {
    expect(parseEndpoint({ url: 'redis-cluster://h', namespace })).toMatchObject({ kind: 'cluster' })
  })

  test('that cannot be decoded is refused, with the password unseen', () => {
    expect(() => parse('redis://u:100%@h')).toThrow(
      expect.objectContaining({
        code: 'USAGE',
        message: 'The Redis URL redis://u:***@h cannot be used: a % in it must be written as %25.',
      }),
    )
  })
})
