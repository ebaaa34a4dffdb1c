/**
 * Entry of the zygote: a process that loads the job modules and nothing else, then forks a child for each job. After
 * loading it stays in native/zygote.c for good; what follows `serve` runs in children.
 */
import { writeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { loadAddon, type Addon } from './addon.ts'
import { blockOnOutput } from './blocking.ts'
import { createChild, type Child } from './child.ts'
import { prepareDeparture } from './departure.ts'
import { forgetExit, hookExit, isExitAwaited } from './exithooks.ts'
import { frameReader } from './frames.ts'
import { loadCode, loadedFrame, refusedFrame, takeLoadConfig, type LoadConfig, type LoadedCode } from './loading.ts'
import { obstacles, snapshot } from './obstacles.ts'
import { prepareRandomness, renewRandomness } from './randomness.ts'
import { openReading } from './reading.ts'
import { watchUnref } from './timers.ts'

const CONTROL_FD = 3

/** What a child is given by its fork. */
interface Self {
  pid: number
  ppid: number
}

function becomeSelf(self: Self): void {
  Object.defineProperty(process, 'pid', { value: self.pid, writable: false, enumerable: true, configurable: true })
  Object.defineProperty(process, 'ppid', { value: self.ppid, writable: true, enumerable: true, configurable: true })
  // Handlers set while loading do not fire in a child; set again, they do.
  for (const name of process.eventNames()) {
    if (typeof name !== 'string' || !name.startsWith('SIG')) continue
    const listeners = process.rawListeners(name)
    process.removeAllListeners(name)
    for (const listener of listeners) process.on(name, listener as () => void)
  }
}

/** Everything that a child needs, made before the fork, so that it costs children nothing. */
function prepareChild(addon: Addon, config: LoadConfig, code: LoadedCode): { child: Child; open(fd: number): void } {
  let fd = -1
  let channel: Socket | undefined
  const listen = (): Socket => {
    const reader = frameReader((type, body) => child.take(type, body.toString()), Infinity)
    const socket = openReading(fd, false, reader.push)
    socket.on('error', () => addon.exit(0))
    socket.on('end', () => addon.exit(0))
    return socket
  }
  const child = createChild({
    ...code,
    title: config.title,
    jobsPerChild: config.jobsPerChild,
    announces: false,
    // The kernel's count for this process alone begins with the fork, at what it shares with the zygote.
    peak: () => process.resourceUsage().maxRSS * 1024,
    send(data) {
      if (fd >= 0) addon.write(fd, data)
    },
    leave(code) {
      if (fd < 0) return
      if (isExitAwaited()) process.exit(code)
      addon.exit(code)
    },
    idle() {
      if (fd < 0) return
      channel ??= listen()
      channel.ref()
    },
    busy: () => channel?.unref(),
  })
  return { child, open: (given) => (fd = given) }
}

async function main(): Promise<void> {
  const config = takeLoadConfig()
  const found = loadAddon()
  if ('missing' in found) throw new Error(found.missing)
  found.addon.dieWith(config.worker)
  process.title = `${config.title}: Forking jobs of ${config.jobs}`
  blockOnOutput()
  // Node keeps one stream per descriptor for good: made before the fork, it costs children nothing.
  void [process.stdout, process.stderr]
  prepareRandomness()
  // Node loads its HTTP client when it is first used: 50 ms of CPU, once here instead of in each child whose job uses
  // it.
  if (typeof fetch === 'function') await (await fetch('data:,')).text()
  await new Promise((resolve) => setImmediate(resolve))
  const before = snapshot()
  const timersLeft = watchUnref()
  hookExit()
  let code: LoadedCode
  try {
    code = await loadCode(config)
  } catch (error) {
    writeSync(CONTROL_FD, refusedFrame(error))
    process.exit(78)
  }
  const stayed = await obstacles(before)
  const { addon } = found
  const { child, open } = prepareChild(addon, config, code)
  const numbers = new Int32Array(8)
  await child.rehearse(100)
  const renew = (): void => {
    const [, pid = 0, ppid = 0] = numbers
    renewRandomness(numbers.subarray(4))
    becomeSelf({ pid, ppid })
  }
  const own = [process.pid, process.ppid] as const
  for (let round = 0; round < 10; round += 1) {
    numbers.set([-1, ...own, 0, ...crypto.getRandomValues(new Int32Array(4))])
    renew()
  }
  const leaveByExit = prepareDeparture(addon.exit)
  writeSync(CONTROL_FD, loadedFrame(code, { obstacles: stayed, timers: timersLeft() }))
  if (stayed.length > 0) process.exit(0)
  globalThis.gc?.()
  // A child's first touch of each page costs: those that every job needs are touched before the job is there.
  const wait = async (): Promise<void> => {
    await child.rehearse(1)
    const [channel = 0] = numbers
    const body = addon.receive(channel, numbers)
    addon.begun()
    open(channel)
    child.take(numbers[3] as number, body)
  }
  // The natural end of the zygote's own life: only then has Node waited for what its helper threads had to do. Forked
  // earlier, a child would wait for work that no thread of its own will ever finish.
  forgetExit()
  process.once('beforeExit', () => {
    // What loading code wants done at its end is of the process that loaded it: done in each child, the first would
    // remove the others' files.
    forgetExit()
    addon.serve(CONTROL_FD, `${config.title}: Waiting`, numbers)
    renew()
    leaveByExit()
    // From the loop's next turn, so that it is alive again.
    setImmediate(() => void wait())
  })
}

await main()
