import type { Socket } from 'node:net'
import type { Addon } from './addon.ts'
import { FRAME, frameReader } from './frames.ts'
import type { JobProcess, ProcessEnd, ProcessListener } from './jobprocess.ts'
import { lineSplitter } from './lines.ts'
import { openReading } from './reading.ts'

/** What a seat asks its zygote to do. */
export interface SeatOrders {
  kill(seat: Seat, signal: number): void
}

/**
 * The worker's side of one forked child at a time: a channel and two pipes that outlive the child as long as nothing of
 * it is left in them. The zygote gets copies with each fork and keeps none.
 */
export interface Seat extends JobProcess {
  readonly index: number
  /** Counts the children of this number, so that news of one are never taken for news of the next. */
  readonly generation: number
  /** For the zygote: channel, stdout, stderr. */
  readonly childFds: readonly [number, number, number]
  readonly state: 'empty' | 'forking' | 'idle' | 'busy' | 'leaving'
  /** A new child is being made. */
  forking(): void
  /** The zygote made the child. */
  forked(pid: number): void
  /** The child is gone. True when the seat can hold another; else it must be closed. */
  ended(end: ProcessEnd, begun: boolean): boolean
  /** The zygote's answer on whether the child's JavaScript runs. */
  answered(begun: boolean): void
  close(): void
}

const SIGNALS: Partial<Record<NodeJS.Signals, number>> = { SIGTERM: 15, SIGKILL: 9 }

/** Makes a seat whose children leave by themselves after `jobsPerChild` jobs (0 = never). */
export function createSeat(
  addon: Addon,
  index: number,
  firstGeneration: number,
  jobsPerChild: number,
  orders: SeatOrders,
): Seat {
  const opened: number[] = []
  const both = (make: () => [number, number]): [number, number] => {
    try {
      const pair = make()
      opened.push(...pair)
      return pair
    } catch (error) {
      for (const fd of opened) addon.close(fd)
      throw error
    }
  }
  const [channelFd, childChannel] = both(addon.socketpair)
  const [stdoutFd, childStdout] = both(addon.pipe)
  const [stderrFd, childStderr] = both(addon.pipe)
  let generation = firstGeneration
  let state: Seat['state'] = 'empty'
  let pid: number | undefined
  let listener: ProcessListener | undefined
  let hasBegun = false
  let jobs = 0
  let fatal: Error | undefined

  const reader = frameReader((type, body) => {
    if (listener) listener.frame(type, body)
    // Code of a job that is over: nothing that this child says can be read any more.
    else if (type === FRAME.garbled) seat.kill('SIGKILL')
  })
  const stdout = lineSplitter((line) => listener?.line('stdout', line))
  const stderr = lineSplitter((line) => listener?.line('stderr', line))
  const open = (fd: number, writable: boolean, take: (chunk: Buffer) => void): Socket => {
    const socket = openReading(fd, writable, take)
    socket.on('error', (error) => (fatal = error))
    return socket
  }
  const channel = open(channelFd, true, (chunk) => reader.push(chunk))
  const out = open(stdoutFd, false, (chunk) => stdout.push(chunk))
  const err = open(stderrFd, false, (chunk) => stderr.push(chunk))

  const drain = (stream: Socket, fd: number, into: { push(chunk: Buffer): void }): void => {
    const rest = stream.destroyed ? undefined : addon.drain(fd)
    if (rest) into.push(rest)
  }
  /** Takes what the child wrote before its last news: libuv reads other descriptors in an order of its own. */
  const drainOutput = (): void => {
    drain(out, stdoutFd, stdout)
    drain(err, stderrFd, stderr)
  }

  /**
   * Whether the child has taken its assignment. A first job's beginning is in shared memory; a later job has begun when
   * nothing of it is left on the way, which costs a busy child no message. What is left is taken away: it was meant for
   * this child alone.
   */
  const taken = (begun: boolean): boolean => {
    const unread = addon.drain(childChannel) !== undefined || channel.writableLength > 0
    return jobs > 1 ? !unread : begun
  }

  const seat: Seat = {
    index,
    childFds: [childChannel, childStdout, childStderr],
    get generation() {
      return generation
    },
    get state() {
      return state
    },
    forking() {
      generation += 1
      pid = undefined
      hasBegun = false
      jobs = 0
      state = 'forking'
    },
    forked(child) {
      pid = child
      if (state === 'forking') state = 'idle'
      listener?.started(child)
    },
    assign(data, told) {
      listener = told
      state = 'busy'
      jobs += 1
      if (jobs > 1) hasBegun = false
      channel.write(data)
      if (pid !== undefined) told.started(pid)
    },
    release() {
      drainOutput()
      const tail = stderr.tail()
      stdout.flush()
      stderr.flush()
      listener = undefined
      if (state === 'busy') state = jobs === jobsPerChild ? 'leaving' : 'idle'
      return tail
    },
    kill(signal) {
      if (state !== 'empty') orders.kill(seat, SIGNALS[signal] ?? 15)
    },
    begun: () => hasBegun,
    answered(begun) {
      if (state !== 'busy') return
      hasBegun ||= jobs > 1 ? taken(begun) : begun
      if (!hasBegun) listener?.hung()
    },
    stderr() {
      drainOutput()
      return stderr.tail()
    },
    pid: () => pid,
    ended(end, begun) {
      hasBegun ||= taken(begun)
      drain(channel, channelFd, reader)
      drainOutput()
      state = 'empty'
      // It left as if all were well, half a frame behind: of its report, or of what its code wrote into it.
      if (end.code === 0 && reader.pending()) listener?.frame(FRAME.garbled, Buffer.from('half a frame'))
      listener?.ended(end)
      stdout.flush()
      stderr.flush()
      listener = undefined
      return !fatal && !reader.pending() && channel.writableLength === 0
    },
    close() {
      for (const stream of [channel, out, err]) stream.destroy()
      for (const fd of seat.childFds) addon.close(fd)
    },
  }
  return seat
}
