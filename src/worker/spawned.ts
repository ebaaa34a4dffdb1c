/** Entry of a spawned job process: loads the job modules, says so, and performs the jobs that come over its channel. */
import { writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { loadAddon } from './addon.ts'
import { createChild } from './child.ts'
import { loadCode, loadedFrame, refusedFrame, takeLoadConfig, type LoadedCode } from './loading.ts'
import { frameReader } from './protocol.ts'

const CHANNEL_FD = 3

/** Linux only: no orphan finishes a job behind our back, and the kernel's OOM killer takes this process before the worker. */
function bindToParent(): void {
  const found = loadAddon()
  if ('addon' in found) found.addon.dieWith(process.ppid)
  if (process.platform !== 'linux') return
  try {
    writeFileSync('/proc/self/oom_score_adj', '900')
  } catch (error) {
    // Refused only where the operator set a higher floor; then that one holds.
    if ((error as { code?: string }).code !== 'EACCES') throw error
  }
}

const config = takeLoadConfig()
bindToParent()
const channel = new Socket({ fd: CHANNEL_FD, readable: true, writable: true })
// The worker is gone: whatever runs here, its end will be recorded by nobody.
channel.on('error', () => process.exit(0))
channel.on('end', () => process.exit(0))

let code: LoadedCode | undefined
try {
  code = await loadCode(config)
} catch (error) {
  channel.end(refusedFrame(error), () => process.exit(78))
}
if (code) {
  const child = createChild({
    ...code,
    title: config.title,
    jobsPerChild: config.jobsPerChild,
    announceFirst: true,
    send: data => void channel.write(data),
    leave: code => channel.end(() => process.exit(code)),
    idle: () => channel.ref(),
    busy: () => channel.unref(),
  })
  const reader = frameReader((type, body) => child.take(type, body.toString()))
  channel.on('data', chunk => reader.push(chunk as Buffer))
  process.title = `${config.title}: Waiting`
  channel.write(loadedFrame(code, []))
}
