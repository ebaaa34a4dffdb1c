import { crc32, deflateSync } from 'node:zlib'

/** Pixels of one image, three bytes each. */
export interface Picture {
  readonly width: number
  readonly height: number
  readonly rgb: Uint8Array
}

/** A binary PPM file. */
export function encodePpm({ width, height, rgb }: Picture): Buffer {
  return Buffer.concat([Buffer.from(`P6\n${width} ${height}\n255\n`), rgb])
}

export function decodePpm(file: Buffer): Picture {
  const head = /^P6\n(\d+) (\d+)\n255\n/.exec(file.toString('latin1', 0, 64))
  if (!head) throw new Error('not a PPM file')
  return { width: Number(head[1]), height: Number(head[2]), rgb: file.subarray(head[0].length) }
}

/** Makes a picture smaller by a whole factor: each pixel is the mean of those that it replaces. */
export function shrink({ width, height, rgb }: Picture, factor: number): Picture {
  const small = { width: Math.floor(width / factor), height: Math.floor(height / factor) }
  const out = new Uint8Array(small.width * small.height * 3)
  for (let y = 0; y < small.height; y++) {
    for (let x = 0; x < small.width; x++) {
      for (let colour = 0; colour < 3; colour++) {
        let sum = 0
        for (let dy = 0; dy < factor; dy++) {
          for (let dx = 0; dx < factor; dx++)
            sum += rgb[((y * factor + dy) * width + x * factor + dx) * 3 + colour] ?? 0
        }
        out[(y * small.width + x) * 3 + colour] = sum / factor ** 2
      }
    }
  }
  return { ...small, rgb: out }
}

export function encodePng({ width, height, rgb }: Picture): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 2, 0, 0, 0], 8) // eight bits, colours, no interlacing
  const rows = Buffer.alloc(height * (1 + width * 3)) // each row begins with a 0: no filter
  for (let y = 0; y < height; y++) rows.set(rgb.subarray(y * width * 3, (y + 1) * width * 3), y * (1 + width * 3) + 1)
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function chunk(type: string, body: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type), body])
  const ends = Buffer.alloc(8)
  ends.writeUInt32BE(body.length, 0)
  ends.writeUInt32BE(crc32(named), 4)
  return Buffer.concat([ends.subarray(0, 4), named, ends.subarray(4)])
}
