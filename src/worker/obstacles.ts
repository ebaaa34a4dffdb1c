import { constants, fstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'

/**
 * What must not be there when a process is forked, because parent and children would share it: sockets, databases in
 * files, timers, threads.
 */
export interface Obstacle {
  /** In words. */
  readonly what: string
  /** It was there before job code was loaded: `--import`, `--require` or `NODE_OPTIONS` brought it. */
  readonly preloaded: boolean
}

/** What a process holds. */
export interface Snapshot {
  readonly resources: ReadonlyMap<string, number>
  /** Descriptor → what it points to. */
  readonly descriptors: ReadonlyMap<string, string>
  readonly threads: ReadonlyMap<string, string>
}

/** What the worker gave to this process: stdin, stdout, stderr, the channel between the two. */
const OWN_DESCRIPTORS: ReadonlySet<string> = new Set(['0', '1', '2', '3'])
/** What Node counts for this process's own stdout and stderr. */
const OWN_RESOURCES: ReadonlyMap<string, number> = new Map([['PipeWrap', 2]])
/**
 * Threads that Node's own work brings, as its majors name them: libuv's pool starts itself anew in a child, and its
 * io_uring belongs to a loop, which a child replaces.
 */
const OWN_THREADS = /^(libuv-worker|(node-)?V8Worker|DelayedTaskSche|SignalInspector|iou-(sqp|wrk)-\d+)$/
/** Flags of open(2): the part that says whether it is read or written; not passed on to other programs. */
const [O_ACCMODE, O_CLOEXEC] = [0o3, 0o2000000]
const SETTLE_MS = 500
const STEP_MS = 10

function entries<T>(folder: string, read: (name: string) => T): Map<string, T> {
  const found = new Map<string, T>()
  for (const name of readdirSync(folder)) {
    try {
      found.set(name, read(name))
    } catch (error) {
      // Gone between the listing and the look: the listing's own descriptor is one.
      if ((error as { code?: string }).code !== 'ENOENT' && (error as { code?: string }).code !== 'ESRCH') throw error
    }
  }
  return found
}

/** Where the descriptors of a process lead. */
function links(pid: number | 'self'): Map<string, string> {
  return entries(`/proc/${pid}/fd`, (name) => readlinkSync(`/proc/${pid}/fd/${name}`))
}

/** The flags with which a descriptor was opened, as open(2) has them. */
function flagsOf(pid: number | 'self', fd: string): number {
  const info = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1')
  return Number.parseInt(/^flags:\s+(\d+)/m.exec(info)?.[1] ?? '0', 8)
}

/** What this process holds now. */
export function snapshot(): Snapshot {
  const resources = new Map<string, number>()
  for (const name of process.getActiveResourcesInfo())
    resources.set(name, (resources.get(name) ?? -(OWN_RESOURCES.get(name) ?? 0)) + 1)
  return {
    resources,
    descriptors: links('self'),
    threads: entries('/proc/self/task', (name) => readFileSync(`/proc/self/task/${name}/comm`, 'utf8').trim()),
  }
}

function address(hex: string): string {
  const [ip = '', port = '0'] = hex.split(':')
  const bytes = Buffer.from(ip, 'hex')
  // Each 32-bit word is in host order.
  for (let i = 0; i + 4 <= bytes.length; i += 4) bytes.subarray(i, i + 4).reverse()
  const host = bytes.length === 4 ? bytes.join('.') : `[${(bytes.toString('hex').match(/.{4}/g) ?? []).join(':')}]`
  return `${host}:${Number.parseInt(port, 16)}`
}

/** `socket:[123]` → what it is connected to, from the kernel's tables. */
function describeSocket(link: string): string {
  const inode = link.slice('socket:['.length, -1)
  for (const table of ['tcp', 'tcp6', 'udp', 'udp6']) {
    for (const row of readTable(table)) {
      const [, local = '', remote = '', , , , , , , id] = row.trim().split(/\s+/)
      if (id !== inode) continue
      const listens = remote.endsWith(':0000')
      return listens ? `a ${table} socket on ${address(local)}` : `a ${table} connection to ${address(remote)}`
    }
  }
  const path = readTable('unix')
    .map((row) => row.trim().split(/\s+/))
    .find((row) => row[6] === inode)?.[7]
  return path ? `a unix socket ${path}` : 'a socket'
}

function readTable(name: string): string[] {
  try {
    return readFileSync(`/proc/self/net/${name}`, 'utf8').split('\n').slice(1)
  } catch {
    return [] // Kernels without IPv6 have no tcp6; then the socket stays without a description.
  }
}

const RESOURCES: Readonly<Record<string, string>> = {
  Timeout: 'a timer (setTimeout or setInterval)',
  TCPSocketWrap: 'a TCP socket',
  TCPServerWrap: 'a TCP server',
  TCPConnectWrap: 'a TCP connection being made',
  GetAddrInfoReqWrap: 'a DNS lookup for a connection being made',
  MessagePort: 'a message port',
  ProcessWrap: 'a child process',
  FSEventWrap: 'a file watcher',
  StatWatcher: 'a file watcher',
}

function numbered(count: number, name: string): string {
  return `${count > 1 ? `${count} × ` : ''}${RESOURCES[name] ?? name}`
}

/** What the worker has passed on, as it was passed on to itself. Nothing where that may not be seen. */
function inheritedFrom(worker: number): ReadonlyMap<string, string> {
  try {
    const flags = entries(`/proc/${worker}/fd`, (fd) => flagsOf(worker, fd))
    return new Map([...links(worker)].filter(([fd]) => ((flags.get(fd) ?? O_CLOEXEC) & O_CLOEXEC) === 0))
  } catch {
    return new Map()
  }
}

function socketsOf({ descriptors }: Snapshot, before: Snapshot, inherited: ReadonlyMap<string, string>): Obstacle[] {
  return [...descriptors]
    .filter(([fd, link]) => link.startsWith('socket:') && !OWN_DESCRIPTORS.has(fd) && inherited.get(fd) !== link)
    .map(([fd, link]) => ({ what: describeSocket(link), preloaded: before.descriptors.get(fd) === link }))
}

/**
 * Whether a descriptor is that of a file which is read and written in place, as databases do: their locks belong to one
 * process, so a connection must not be carried across a fork (https://sqlite.org/howtocorrupt.html, 2.6). Files without
 * a name are scratch space, and who only appends can share.
 */
function isReadWritten(fd: string, link: string): boolean {
  if (!link.startsWith('/') || link.endsWith(' (deleted)')) return false
  try {
    return (flagsOf('self', fd) & O_ACCMODE) === constants.O_RDWR && fstatSync(Number(fd)).isFile()
  } catch {
    return false // Closed meanwhile.
  }
}

function filesOf({ descriptors }: Snapshot, before: Snapshot, inherited: ReadonlyMap<string, string>): Obstacle[] {
  const files = new Map([...descriptors].filter(([fd, link]) => inherited.get(fd) !== link && isReadWritten(fd, link)))
  return [...new Set(files.values())].map((link) => ({
    what: `the file ${link} for reading and writing`,
    preloaded: [...before.descriptors.values()].includes(link),
  }))
}

function resourcesOf({ resources }: Snapshot, before: Snapshot, socketsTold: boolean): Obstacle[] {
  return [...resources].flatMap(([name, count]) => {
    // Their descriptors have told already, and better.
    if (socketsTold && /^(TCP|Pipe|UDP|TLS)/.test(name)) return []
    const old = Math.min(count, Math.max(before.resources.get(name) ?? 0, 0))
    return [
      ...(old > 0 ? [{ what: numbered(old, name), preloaded: true }] : []),
      ...(count > old ? [{ what: numbered(count - old, name), preloaded: false }] : []),
    ]
  })
}

function threadsOf({ threads }: Snapshot, before: Snapshot): Obstacle[] {
  return [...threads]
    .filter(([id, name]) => id !== String(process.pid) && !OWN_THREADS.test(name))
    .map(([id, name]) => ({
      what: name === 'WorkerThread' ? 'a worker thread' : `a thread named ${name}`,
      preloaded: before.threads.has(id),
    }))
}

/** What stands against a fork of this process; `before` was taken before job code was loaded. */
function findObstacles(before: Snapshot, inherited: ReadonlyMap<string, string>): Obstacle[] {
  const now = snapshot()
  const sockets = socketsOf(now, before, inherited)
  const resources = resourcesOf(now, before, sockets.length > 0)
  return [...sockets, ...filesOf(now, before, inherited), ...resources, ...threadsOf(now, before)]
}

/** Waits until what loading began has come to rest, at most half a second, and names what stayed. */
export async function obstacles(before: Snapshot): Promise<Obstacle[]> {
  const deadline = performance.now() + SETTLE_MS
  const inherited = inheritedFrom(process.ppid)
  for (;;) {
    // A turn first: connections are often begun on the next tick.
    await new Promise((resolve) => setImmediate(resolve))
    const found = findObstacles(before, inherited)
    if (found.length === 0 || performance.now() > deadline) return found
    await new Promise((resolve) => setTimeout(resolve, STEP_MS))
  }
}

/** Why a process with these obstacles is not forked, in a sentence's end. */
export function sayObstacles(found: readonly Obstacle[]): string {
  const [preloads, jobs] = [true, false].map((preloaded) =>
    found
      .filter((obstacle) => obstacle.preloaded === preloaded)
      .map(({ what }) => what)
      .join(', '),
  )
  const clauses = [
    ...(jobs ? [`the job modules opened ${jobs} while loading`] : []),
    ...(preloads ? [`a preload (--import, --require, NODE_OPTIONS) opened ${preloads}`] : []),
  ]
  return `${clauses.join(', and ')}, which a fork would share`
}
