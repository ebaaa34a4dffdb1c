import { createRequire } from 'node:module'
import { messageOf } from '../errors.ts'

/** The native part: see native/addon.c. Every call throws an Error that names the system call when it fails. */
export interface Addon {
  /** Two connected descriptors, close-on-exec, blocking. */
  socketpair(): [number, number]
  /** [read, write], close-on-exec, blocking. */
  pipe(): [number, number]
  /** Sends a request of four u32 to a zygote, with descriptors when given. 0, or a negative errno; never waits. */
  ask(control: number, request: Buffer, fds?: readonly [number, number, number]): number
  /** What can be read at once, or undefined. */
  drain(fd: number): Buffer | undefined
  close(fd: number): void
  /** Writes everything, waiting as long as it takes. Sockets only. */
  write(fd: number, data: Buffer): void
  /** `_exit`: no teardown of what a forked child does not have. */
  exit(code: number): never
  /** SIGKILL for this process when its parent, which must still be `parent`, dies. */
  dieWith(parent: number): void
  /** In a forked child: proof that its JavaScript runs. */
  begun(): void
  /**
   * Serves forks; returns in forked children only, once their first frame has come: its body. `numbers` (eight of them) gets the channel,
   * the process id, the parent's, the frame's type, and 128 random bits.
   */
  serve(control: number, waitingTitle: string, numbers: Int32Array): string
  /** Waits for a frame, the process standing still: its body. Its type is put into `numbers[3]`. Leaves when the other end closes. */
  receive(fd: number, numbers: Int32Array): string
}

/** The addon, or why there is none. Linux only. */
export function loadAddon(): { readonly addon: Addon } | { readonly missing: string } {
  if (process.platform !== 'linux') return { missing: `fork needs Linux, this is ${process.platform}` }
  const require = createRequire(import.meta.url)
  const reasons: string[] = []
  for (const path of [
    '../../build/Release/resqueue_fork.node',
    `../../prebuilds/linux-${process.arch}/resqueue_fork.node`,
  ]) {
    try {
      return { addon: require(path) as Addon }
    } catch (error) {
      // A file that is there and does not load (another libc, another architecture) is worth telling; one that is absent is not.
      if ((error as { code?: string }).code !== 'MODULE_NOT_FOUND') reasons.push(messageOf(error))
    }
  }
  return {
    missing:
      reasons.length > 0 ? `the native addon does not load: ${reasons.join('; ')}` : 'the native addon is not built',
  }
}
