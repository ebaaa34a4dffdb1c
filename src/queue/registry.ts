import { randomBytes } from 'node:crypto'
import { ResQueueError } from '../errors.ts'
import { scan } from '../redis/pages.ts'
import { loadScript } from '../redis/scripts.ts'
import type { Patience, Store } from '../redis/store.ts'

const registerScript = loadScript('register')

/** Version of the layout under `ext:`. A worker that meets a newer one refuses. */
export const LAYOUT_VERSION = 1
/** A process that did not renew for this long is suspected. Milliseconds. */
export const LEASE_MS = 8000
/** The same where jobs run in the worker's own process: a busy job may keep it from renewing. */
export const INLINE_LEASE_MS = 60_000

/** A worker process as it stands in `ext:processes`. */
export interface Registration {
  /** Drawn at start and after every fencing: names the process. */
  readonly nonce: string
  /** `<host>.<nonce>`: slot i shows in the family's `workers` as `<name>.<i><tail>`. */
  readonly name: string
  /** `:<pid>:<queues>`, without what is skipped: Ruby takes a skip for a queue. */
  readonly tail: string
  /** What the worker skips: `!name`. Older versions do not say. */
  readonly skips?: readonly string[]
  readonly slots: number
  /** What stays the same when the container restarts in its pod (`POD_UID/container`); empty where unknown. */
  readonly instance: string
  readonly host: string
  readonly pid: number
  /** Inode of the pid namespace and the kernel's boot id: together they say whether a pid can be judged from here. */
  readonly pid_namespace: string
  readonly boot_id: string
  readonly pod: string
  readonly pod_namespace: string
  readonly pod_uid: string
  readonly container: string
  /** Milliseconds since the epoch, by the process's own clock. */
  readonly started: number
  readonly version: string
  readonly isolation: string
  /**
   * Where a job goes that was lost with its process too often, as `--failure-backend` says: `r` the common failed list,
   * `m` one per queue, `rm` both. Anything else, and what older versions wrote: the common one.
   */
  readonly failure_lists?: string
  /** How long a renewal holds. */
  readonly lease_ms: number
}

/** A name no other process bears: 12 hex digits. */
export function newNonce(): string {
  return randomBytes(6).toString('hex')
}

/** How the scripts of a process's life learn who calls: nonce, lease, and the parts of its worker ids. */
export function callerArgs({ nonce, lease_ms, name, pid, tail }: Registration): readonly (string | number)[] {
  return [nonce, lease_ms, name, `:${pid}`, tail.slice(`:${pid}`.length)]
}

/** The family's worker id of a slot (R12, one registration per slot). */
export function workerId(registration: Pick<Registration, 'name' | 'tail'>, slot: number): string {
  return `${registration.name}.${slot}${registration.tail}`
}

/** The queues as the worker was given them, with what it skips at the end. */
export function queuesOf({ pid, tail, skips = [] }: Registration): readonly string[] {
  return [...tail.slice(`:${pid}:`.length).split(','), ...skips]
}

/** `<host>.<nonce>.<slot>:<pid>:<queues>` */
const OURS = /^.*\.([0-9a-f]{12})\.\d+:\d+:/s

/** The nonce in a worker id of ours; undefined for ids of other programs. */
export function nonceOf(id: string): string | undefined {
  return OURS.exec(id)?.[1]
}

/**
 * Registers a process with its lease (protocol, "Leases"). `gone`: its nonce was released before, and nothing is
 * written; the next renewal finds the process unknown, and it registers under a new one. Throws `NEWER_LAYOUT` where a
 * newer ResQueue owns the namespace.
 */
export async function register(store: Store, registration: Registration, patience?: Patience): Promise<'ok' | 'gone'> {
  const ids = Array.from({ length: registration.slots }, (_, slot) => workerId(registration, slot))
  const args = [
    registration.nonce,
    registration.lease_ms,
    LAYOUT_VERSION,
    JSON.stringify(registration),
    registration.instance,
    ...ids,
  ]
  const [status, , version] = (await store.run(registerScript, args, patience)) as [string, string, string?]
  if (status === 'newer') {
    throw new ResQueueError(
      'NEWER_LAYOUT',
      `The namespace "${store.keys.prefix}" was written by a newer ResQueue (layout ${version}; this one knows ${LAYOUT_VERSION}). Use that version or another namespace.`,
    )
  }
  return status as 'ok' | 'gone'
}

/** All registered processes, a page at a time: nothing unbounded is read whole. */
export async function* processes(store: Store, patience?: Patience): AsyncGenerator<Registration> {
  for await (const page of scan(store, 'hscan', store.keys.processes, patience)) {
    for (let i = 1; i < page.length; i += 2) {
      const registration = parseRegistration(page[i] as string)
      if (registration) yield registration
    }
  }
}

/** A registration as stored; undefined for a value that is none. */
export function parseRegistration(text: string): Registration | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 'nonce' in value && 'name' in value
      ? (value as Registration)
      : undefined
  } catch {
    return undefined
  }
}
