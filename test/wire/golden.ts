import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'
import { ROOT } from '../support/process.ts'

/** One key of a dump: real bytes that a program of the family left in Redis. */
export type Entry = { readonly key: string; readonly ttl?: number } & (
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'list' | 'set'; readonly value: readonly string[] }
  | { readonly type: 'hash' | 'zset'; readonly value: Readonly<Record<string, string>> }
)

/** A dump's parts by their heading; keys are without their namespace. */
export type Dump = Readonly<Record<string, readonly Entry[]>>

export function goldenText(name: string): string {
  return readFileSync(`${ROOT}test/fixtures/golden/${name}`, 'utf8')
}

/** Reads a dump: `## heading`, then `key  <type [ttl=N]>` lines, each followed by its indented values. */
export function readGolden(name: string): Dump {
  const dump: Record<string, Entry[]> = {}
  let part: Entry[] = []
  let key: RegExpExecArray | undefined
  let values: string[] = []
  const flush = (): void => {
    if (key) part.push(entryOf(key, values))
    key = undefined
    values = []
  }
  for (const line of goldenText(name).split('\n')) {
    const found = /^(?:resque|resQueue):(.+) {2}<(string|list|set|hash|zset)(?: ttl=(\d+))?>$/.exec(line)
    if (line.startsWith('## ')) {
      flush()
      dump[line.slice(3)] = part = []
    } else if (found) {
      flush()
      key = found
    } else if (line.startsWith('    ')) values.push(line.slice(4))
    else if (line !== '') throw new Error(`${name}: this line is no part of a dump: ${line}`)
  }
  flush()
  return dump
}

function entryOf([, key = '', type, ttl]: RegExpExecArray, values: readonly string[]): Entry {
  const common = { key, ...(ttl === undefined ? {} : { ttl: Number(ttl) }) }
  switch (type) {
    case 'string':
      return { ...common, type, value: values.join('\n') }
    case 'list':
      return { ...common, type, value: values.map((value) => value.replace(/^\[\d+\] /, '')) }
    case 'set':
      return { ...common, type, value: values.map((value) => value.replace(/^- /, '')) }
    default:
      return {
        ...common,
        type: type as 'hash' | 'zset',
        value: Object.fromEntries(values.map((value) => pairOf(value))),
      }
  }
}

function pairOf(text: string): [string, string] {
  const [, name = '', value = ''] = /^(.*) (?:=>|@) (.*)$/.exec(text) ?? []
  return [name, value]
}

/** Puts a dump's keys into a namespace. */
export async function load(redis: Redis, ns: string, entries: readonly Entry[]): Promise<void> {
  for (const entry of entries) {
    const key = `${ns}:${entry.key}`
    if (entry.type === 'string') await redis.set(key, entry.value)
    else if (entry.type === 'list') await redis.rpush(key, ...entry.value)
    else if (entry.type === 'set') await redis.sadd(key, ...entry.value)
    else if (entry.type === 'hash') await redis.hset(key, { ...entry.value })
    else for (const [member, score] of Object.entries(entry.value)) await redis.zadd(key, Number(score), member)
    if (entry.ttl !== undefined) await redis.expire(key, entry.ttl)
  }
}

/** The entry of that key; throws where the dump has none. */
export function entry(entries: readonly Entry[] | undefined, key: string | RegExp): Entry {
  const found = entries?.find((one) => (typeof key === 'string' ? one.key === key : key.test(one.key)))
  if (!found) throw new Error(`The dump has no key ${String(key)}`)
  return found
}

/** The elements of a list or set in a dump. */
export function elements(entries: readonly Entry[] | undefined, key: string | RegExp): readonly string[] {
  const found = entry(entries, key)
  if (found.type !== 'list' && found.type !== 'set') throw new Error(`${found.key} is a ${found.type}`)
  return found.value
}
