import type { Material } from './material.ts'

/** Who enqueues: our client, the real node-resque, and the bytes that Ruby Resque and php-resque write. */
export const PRODUCERS = ['our client', 'node-resque', 'php-resque', 'Ruby Resque'] as const
export type Producer = (typeof PRODUCERS)[number]

export type End = 'performed' | 'failed' | 'quarantined'

/** Jobs of one kind: a line of the demo's table. */
export interface Kind {
  readonly producer: Producer
  /** The class, as it stands in payloads. */
  readonly job: string
  readonly end: End
  /** What must stand in the failure record, `Type: message`. */
  readonly reason?: RegExp
  /** For the table, where that differs from what is expected to be found. */
  readonly note?: string
  /** Part of the backlog; absent: one job. */
  readonly share?: number
  /** Seconds until it is due. */
  readonly delay?: number
  /** php-resque keeps a status of it. */
  readonly track?: boolean
  /** Positional arguments. Somewhere in them stands `{"no": N}`, by which the demo knows a job again. */
  args(no: number, pick: <T>(from: readonly T[]) => T, world: World): readonly unknown[]
}

export interface World {
  readonly material: Material
  readonly shop: string
}

export interface Planned {
  readonly no: number
  readonly kind: Kind
  readonly args: readonly unknown[]
}

const order =
  (query: string): Kind['args'] =>
  (no, _, { shop }) => [`${shop}/orders/${no}${query}`, { no }]
const plain: Kind['args'] = (no) => [{ no }]

/** The backlog. Troublemakers are spread over it, so that they run beside healthy jobs. */
const KINDS: readonly Kind[] = [
  {
    producer: 'our client',
    job: 'Compress',
    end: 'performed',
    share: 0.3,
    args: (no, pick, { material }) => [{ no, file: pick(material.files) }],
  },
  {
    producer: 'our client',
    job: 'Thumbnail',
    end: 'performed',
    share: 0.2,
    args: (no, pick, { material }) => [{ no, picture: pick(material.pictures) }],
  },
  { producer: 'node-resque', job: 'syncOrder', end: 'performed', share: 0.2, args: order('') },
  {
    producer: 'php-resque',
    job: 'App\\Jobs\\Checksum',
    end: 'performed',
    share: 0.15,
    track: true,
    args: (no, pick, { material }) => [{ no, path: pick(material.files), title: 'Prüfsumme №' }],
  },
  {
    producer: 'Ruby Resque',
    job: 'Reports::Import',
    end: 'performed',
    share: 0.15,
    args: (no, pick, { material }) => [pick(material.orders), { no }],
  },
  {
    producer: 'our client',
    job: 'syncOrder',
    end: 'performed',
    note: 'the service was busy: performed at the second attempt',
    args: order('?busy'),
  },
  {
    producer: 'our client',
    job: 'Thumbnail',
    end: 'performed',
    delay: 2,
    note: 'enqueued for later, due after 2 s',
    args: (no, pick, { material }) => [{ no, picture: pick(material.pictures) }],
  },
  { producer: 'our client', job: 'Throws', end: 'failed', reason: /^RangeError: invoice/, args: plain },
  { producer: 'node-resque', job: 'Exits', end: 'failed', reason: /exit code 3/, args: plain },
  { producer: 'php-resque', job: 'IsKilled', end: 'failed', reason: /exited abnormally/, args: plain },
  { producer: 'our client', job: 'EatsMemory', end: 'failed', reason: /^OutOfMemory:/, args: plain },
  { producer: 'our client', job: 'NeverEnds', end: 'failed', reason: /^Timeout:/, args: plain },
  { producer: 'Ruby Resque', job: 'NoSuchClass', end: 'failed', reason: /Could not find job class/, args: plain },
  {
    producer: 'Ruby Resque',
    job: '(broken JSON)',
    end: 'quarantined',
    note: 'kept aside: no worker can read it',
    args: plain,
  },
]

/** Enqueued in the middle, and running when their worker is killed. */
export const DOWNLOAD: Kind = {
  producer: 'our client',
  job: 'Download',
  end: 'performed',
  note: 'running when the worker was killed: ran again',
  args: (no, _, { shop }) => [{ no, url: `${shop}/slow/${no}` }],
}

/** A backlog of `total` jobs, the downloads included, which come last. */
export function plan(total: number, downloads: number, world: World): Planned[] {
  const single = KINDS.filter(({ share }) => share === undefined)
  const bulk = KINDS.filter(({ share }) => share !== undefined)
  const many = total - downloads - single.length
  const mixed = mix(bulk, many)
  for (const [i, kind] of single.entries())
    mixed.splice(Math.round(((i + 1) * mixed.length) / (single.length + 2)), 0, kind)
  for (let n = 0; n < downloads; n++) mixed.push(DOWNLOAD)
  let picks = 0
  const pick = <T>(from: readonly T[]): T => from[picks++ % from.length] as T
  return mixed.map((kind, i) => ({ no: i + 1, kind, args: kind.args(i + 1, pick, world) }))
}

/** Kinds in the proportions of their shares, evenly mixed: always the one that is furthest behind its share. */
function mix(kinds: readonly Kind[], total: number): Kind[] {
  const taken = new Map<Kind, number>()
  const behind = (kind: Kind, i: number): number => (kind.share ?? 0) * (i + 1) - (taken.get(kind) ?? 0)
  return Array.from({ length: total }, (_, i) => {
    const next = kinds.reduce((a, b) => (behind(b, i) > behind(a, i) ? b : a))
    taken.set(next, (taken.get(next) ?? 0) + 1)
    return next
  })
}
