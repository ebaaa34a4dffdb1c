import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/**
 * What must not be there when a process is forked, because parent and children would share it: sockets, timers, threads. A
 * snapshot before job code is loaded and one after tell what job code has opened.
 */
export interface Snapshot {
  readonly resources: ReadonlyMap<string, number>
  /** Descriptor → what it points to. */
  readonly descriptors: ReadonlyMap<string, string>
  readonly threads: ReadonlyMap<string, string>
}

/** Threads that Node's own work brings: libuv's pool starts itself anew in a child. */
const OWN_THREADS = /^(libuv-worker|node-V8Worker|DelayedTaskSche|SignalInspector|node-MainThread|node)$/
const SETTLE_MS = 500
const STEP_MS = 10

function entries(folder: string, read: (name: string) => string): Map<string, string> {
  const found = new Map<string, string>()
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

/** What this process holds now. */
export function snapshot(): Snapshot {
  const resources = new Map<string, number>()
  for (const name of process.getActiveResourcesInfo()) resources.set(name, (resources.get(name) ?? 0) + 1)
  return {
    resources,
    descriptors: entries('/proc/self/fd', (name) => readlinkSync(`/proc/self/fd/${name}`)),
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

/** What is there after and was not before, in words. */
export function difference(before: Snapshot, after: Snapshot): string[] {
  const found: string[] = []
  for (const [fd, link] of after.descriptors) {
    if (link.startsWith('socket:') && before.descriptors.get(fd) !== link) found.push(describeSocket(link))
  }
  const sockets = found.length
  for (const [name, count] of after.resources) {
    const more = count - (before.resources.get(name) ?? 0)
    // Their descriptors have told already, and better.
    if (more <= 0 || (sockets > 0 && /^(TCP|Pipe|UDP|TLS)/.test(name))) continue
    found.push(`${more > 1 ? `${more} × ` : ''}${RESOURCES[name] ?? name}`)
  }
  for (const [id, name] of after.threads) {
    if (!before.threads.has(id) && !OWN_THREADS.test(name))
      found.push(name === 'WorkerThread' ? 'a worker thread' : `a thread named ${name}`)
  }
  return found
}

/** Waits until what loading began has come to rest, at most half a second, and names what stayed. */
export async function obstacles(before: Snapshot): Promise<string[]> {
  const deadline = performance.now() + SETTLE_MS
  for (;;) {
    // A turn first: connections are often begun on the next tick.
    await new Promise((resolve) => setImmediate(resolve))
    const found = difference(before, snapshot())
    if (found.length === 0 || performance.now() > deadline) return found
    await new Promise((resolve) => setTimeout(resolve, STEP_MS))
  }
}
