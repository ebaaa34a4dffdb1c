import { messageOf, ResQueueError } from '../errors.ts'
import { fs, path as paths } from './builtins.ts'

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
  /** SIGKILL for this process and what it started when its parent, which must still be `parent`, dies. */
  dieWith(parent: number): void
  /** In a forked child: proof that its JavaScript runs. */
  begun(): void
  /**
   * Serves forks; returns in forked children only. `numbers` (eight of them) gets the channel, the process id, the
   * parent's, a place for the type of frames, and 128 random bits.
   */
  serve(control: number, waitingTitle: string, numbers: Int32Array): void
  /**
   * Waits for a frame, the process standing still: its body. Its type is put into `numbers[3]`. Leaves when the other
   * end closes.
   */
  receive(fd: number, numbers: Int32Array): string
}

let loaded: Addon | undefined

/** Descriptors run out where there are many slots and the limit is low: that is to be said, and no bug. */
function scarce(make: () => [number, number]): () => [number, number] {
  return () => {
    try {
      return make()
    } catch (cause) {
      throw new ResQueueError(
        'UNAVAILABLE',
        `No descriptors for a job process (${messageOf(cause)}): raise the limit (ulimit -n) to 64 and 16 for each slot, or lower --concurrency.`,
        { cause },
      )
    }
  }
}

/** The addon, or why there is none. Linux only. */
export function loadAddon(): { readonly addon: Addon } | { readonly missing: string } {
  if (loaded) return { addon: loaded }
  if (process.platform !== 'linux') return { missing: `fork needs Linux, this is ${process.platform}` }
  const root = paths.join(import.meta.dirname, '..', '..')
  const reasons: string[] = []
  for (const place of ['build/Release', `prebuilds/linux-${process.arch}`]) {
    const file = paths.join(root, place, 'resqueue_fork.node')
    // Not by `require`: to make one costs every spawned process a millisecond.
    const module = { exports: {} }
    try {
      process.dlopen(module, file)
      const addon = module.exports as Addon
      loaded = { ...addon, socketpair: scarce(addon.socketpair), pipe: scarce(addon.pipe) }
      return { addon: loaded }
    } catch (error) {
      // A file that is there and does not load (another libc, another architecture) is worth telling; one that is
      // absent is not.
      if (fs.existsSync(file)) reasons.push(messageOf(error))
    }
  }
  return {
    missing:
      reasons.length > 0
        ? `the native addon does not load: ${reasons.join('; ')}`
        : 'the native addon is not built (npm rebuild resqueue builds it; in a checkout, make build)',
  }
}
