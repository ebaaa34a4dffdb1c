/** Entry of a spawned job process: loads the job modules, says so, and performs the jobs that come over its channel. */
import type { Socket } from 'node:net'
import { loadAddon, type Addon } from './addon.ts'
import { blockOnOutput } from './blocking.ts'
import { fs } from './builtins.ts'
import { createChild, type Child } from './child.ts'
import { hookExit, isExitAwaited } from './exithooks.ts'
import { frameReader } from './frames.ts'
import { loadCode, loadedFrame, refusedFrame, takeLoadConfig } from './loading.ts'

const CHANNEL_FD = 3

/** The channel as the job process uses it. */
interface Channel {
  send(data: Buffer): void
  /** Ends the process once everything sent has gone out. */
  leave(code: number): void
  /** From now on, frames are given to the child; while `on`, the channel keeps the process alive. */
  listen(child: Child, on: boolean): void
}

/**
 * The most memory that this process held. On Linux from its own memory map: the kernel's other count (`resourceUsage`)
 * goes on from the worker's, of which the process was a copy until it became Node.
 */
function peak(): number {
  const status = process.platform === 'linux' ? fs.readFileSync('/proc/self/status', 'latin1') : ''
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? process.resourceUsage().maxRSS) * 1024
}

/** The kernel's OOM killer takes this process before the worker. */
function raiseOomScore(): void {
  try {
    fs.writeFileSync('/proc/self/oom_score_adj', '900')
  } catch (error) {
    // Refused only where the operator set a higher floor; then that one holds.
    if ((error as { code?: string }).code !== 'EACCES') throw error
  }
}

/**
 * No orphan finishes a job behind our back: the kernel forgets whom a process dies with when it becomes another user.
 */
function dieWith(worker: number, addon: Addon): void {
  addon.dieWith(worker)
  for (const name of ['setuid', 'seteuid', 'setgid', 'setegid'] as const) {
    const change = process[name]
    process[name] = (id) => {
      change?.call(process, id)
      addon.dieWith(worker)
    }
  }
}

/** Node's own streams: where there is no addon, and where the process is to live on between jobs. */
async function streamChannel(): Promise<Channel> {
  const { Socket } = await import('node:net')
  const socket: Socket = new Socket({ fd: CHANNEL_FD, readable: true, writable: true })
  // The worker is gone: whatever runs here, its end will be recorded by nobody. Or the job closed what it did not open,
  // and nobody knows how it ended: then it must not count as done.
  socket.on('error', () => process.exit(1))
  socket.on('end', () => process.exit(1))
  let listening = false
  return {
    send: (data) => void socket.write(data),
    leave: (code) => void socket.end(() => process.exit(code)),
    listen(child, on) {
      if (on) socket.ref()
      else socket.unref()
      if (listening) return
      listening = true
      const reader = frameReader((type, body) => child.take(type, body.toString()), Infinity)
      socket.on('data', (chunk) => reader.push(chunk as Buffer))
    },
  }
}

/**
 * With the addon, a process for one job needs no streams, which saves a tenth of its boot: it waits standing still,
 * writes at once, and leaves without a teardown.
 */
function directChannel(addon: Addon): Channel {
  return {
    send: (data) => addon.write(CHANNEL_FD, data),
    leave(code) {
      if (isExitAwaited()) process.exit(code)
      addon.exit(code)
    },
    listen(child, on) {
      if (!on) return
      const numbers = new Int32Array(8)
      const body = addon.receive(CHANNEL_FD, numbers)
      child.take(numbers[3] as number, body)
    },
  }
}

const config = takeLoadConfig()
const found = loadAddon()
const addon = 'addon' in found ? found.addon : undefined
// Without the addon, the channel's end tells, once the job lets the process listen.
if (addon) dieWith(config.worker, addon)
if (process.platform === 'linux') raiseOomScore()
blockOnOutput()
hookExit()

let ready = false
try {
  const code = await loadCode(config)
  // Timers and connections of the job modules must go on while the process waits; then it cannot stand still.
  const still = addon && config.jobsPerChild === 1 && process.getActiveResourcesInfo().length === 0
  const channel = still ? directChannel(addon) : await streamChannel()
  const child = createChild({
    ...code,
    title: config.title,
    jobsPerChild: config.jobsPerChild,
    announces: true,
    peak,
    send: (data) => ready && channel.send(data),
    leave: (code) => ready && channel.leave(code),
    idle: () => ready && channel.listen(child, true),
    busy: () => ready && channel.listen(child, false),
  })
  // V8 compiles a function when it is first called: better now than when a job waits.
  await child.rehearse(1)
  ready = true
  process.title = `${config.title}: Waiting`
  channel.send(loadedFrame(code))
  channel.listen(child, true)
} catch (error) {
  const channel = await streamChannel()
  channel.send(refusedFrame(error))
  channel.leave(78)
}
