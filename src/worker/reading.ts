import { Socket } from 'node:net'

/** Read at a time: most jobs and their reports are smaller. */
const CHUNK_BYTES = 16_384

/**
 * A socket on a descriptor whose bytes are given to `take` as they come. They are read into one buffer that is used
 * again, so a chunk is valid only during the call: a stream would make a buffer of 64 KiB for each, which takes a job
 * process that is used again a quarter of its time.
 */
export function openReading(fd: number, writable: boolean, take: (chunk: Buffer) => void): Socket {
  const callback = (length: number, buffer: Uint8Array): boolean => {
    take((buffer as Buffer).subarray(0, length))
    return true
  }
  return new Socket({ fd, readable: true, writable, onread: { buffer: Buffer.allocUnsafeSlow(CHUNK_BYTES), callback } })
}
