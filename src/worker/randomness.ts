import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'

/**
 * Random numbers of forked children. A fork copies generators and their caches, so children would draw the same
 * numbers. The zygote calls `prepareRandomness` before it loads job code, each child calls `renewRandomness` first
 * thing.
 */

// Node fills its caches for 128 UUIDs, and for 1024 numbers of six bytes; a child uses up what it inherited before its
// first own.
const UUID_CACHE = 128
const INT_CACHE = 1024
/**
 * From this size on, a buffer that was filled while loading is taken for a library's pool (nanoid, uuid), not for one
 * secret.
 */
const POOL_BYTES = 256

// Node's own, which does not remember what it filled.
const fillSync = crypto.randomFillSync

const state = new Uint32Array(4)
/** Functions of Node's whose caches are still the copy of another process. */
let stale = new Set<string>()
/**
 * The memory itself, weakly: a view of our own would be gone with the next collection, the library's is not ours to
 * keep.
 */
const pools: { readonly memory: WeakRef<ArrayBufferLike>; readonly from: number; readonly length: number }[] = []

/** xoshiro128++ (Blackman, Vigna): V8's own generator cannot be seeded again. */
function next(): number {
  let [a, b, c, d] = state as unknown as [number, number, number, number]
  const sum = (a + d) | 0
  const result = (((sum << 7) | (sum >>> 25)) + a) >>> 0
  const shifted = b << 9
  c ^= a
  d ^= b
  b ^= c
  a ^= d
  c ^= shifted
  d = (d << 11) | (d >>> 21)
  state[0] = a
  state[1] = b
  state[2] = c
  state[3] = d
  return result
}

function random(): number {
  return ((next() >>> 5) * 67_108_864 + (next() >>> 6)) / 9_007_199_254_740_992
}

/** Replaces one function by another that looks like it. */
function replace<T extends object>(owner: T, name: keyof T & string, make: (original: never) => unknown): void {
  const original = owner[name] as never
  const replacement = make(original) as object
  Object.defineProperty(replacement, 'name', { value: name })
  Object.defineProperty(owner, name, {
    value: replacement,
    writable: true,
    configurable: true,
    enumerable: Object.prototype.propertyIsEnumerable.call(owner, name),
  })
}

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown

function remember(filled: unknown): void {
  if (ArrayBuffer.isView(filled) && filled.byteLength >= POOL_BYTES) {
    pools.push({ memory: new WeakRef(filled.buffer), from: filled.byteOffset, length: filled.byteLength })
  }
}

/** In the zygote, before any job code is loaded: puts generators in place that can be renewed. */
export function prepareRandomness(): void {
  crypto.getRandomValues(state)
  replace(Math, 'random', () => random)
  /** Before the first own draw, what was inherited is used up. */
  const cached =
    (name: string, draws: number, draw: () => unknown) =>
    (original: AnyFunction): AnyFunction =>
      function drawn(...args) {
        if (stale.delete(name)) for (let i = 0; i < draws; i += 1) draw()
        return Reflect.apply(original, this, args)
      }
  const { randomUUID, randomInt } = crypto
  const uuid = cached('randomUUID', UUID_CACHE, () => randomUUID())
  const fills = (original: AnyFunction): AnyFunction =>
    function fill(...args) {
      const result = Reflect.apply(original, this, args)
      remember(args[0])
      return result
    }
  replace(crypto, 'randomUUID', uuid)
  replace(crypto.webcrypto.constructor.prototype as Crypto, 'randomUUID', uuid)
  if ('randomUUIDv7' in crypto) {
    const { randomUUIDv7 } = crypto // from Node 26.1 on
    replace(
      crypto,
      'randomUUIDv7',
      cached('randomUUIDv7', UUID_CACHE, () => randomUUIDv7()),
    )
  }
  replace(
    crypto,
    'randomInt',
    cached('randomInt', INT_CACHE, () => randomInt(2)),
  )
  replace(crypto, 'randomFillSync', fills)
  replace(crypto.webcrypto.constructor.prototype as Crypto, 'getRandomValues', fills)
  syncBuiltinESMExports()
}

/**
 * In a forked child, before any job code runs: nothing drawn from now on was drawn elsewhere. `seed` is 128 bits from
 * the kernel.
 */
export function renewRandomness(seed: Int32Array): void {
  state.set(seed)
  stale = new Set(['randomUUID', 'randomUUIDv7', 'randomInt'])
  for (const { memory, from, length } of pools) {
    const buffer = memory.deref()
    if (buffer) fillSync(new Uint8Array(buffer, from, length))
  }
}
