import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { encodePpm } from './png.ts'

/** The root of the package. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** What the jobs work on. */
export interface Material {
  /** Files of this package. */
  readonly files: readonly string[]
  readonly orders: readonly string[]
  readonly pictures: readonly string[]
}

const COUNTRIES = ['AT', 'BR', 'DE', 'FR', 'IN', 'JP', 'KE', 'US']

/** Collects the files of the package, and writes orders as CSV and pictures as PPM into `folder`. */
export async function makeMaterial(folder: string): Promise<Material> {
  const orders = Array.from({ length: 4 }, (_, i) => join(folder, `orders-${i}.csv`))
  for (const [i, file] of orders.entries()) await writeFile(file, ordersCsv(400 + 100 * i))
  const pictures = Array.from({ length: 4 }, (_, i) => join(folder, `picture-${i}.ppm`))
  for (const [i, file] of pictures.entries()) await writeFile(file, picture(240, 180, 1 + i))
  return { files: await packageFiles(), orders, pictures }
}

async function packageFiles(): Promise<string[]> {
  const found: string[] = []
  for (const folder of ['src', 'lua', 'docs']) {
    for (const entry of await readdir(join(ROOT, folder), { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) found.push(join(entry.parentPath, entry.name))
    }
  }
  return found.toSorted()
}

function ordersCsv(rows: number): string {
  const lines = Array.from(
    { length: rows },
    (_, i) => `${1000 + i},${COUNTRIES[(i * 7) % COUNTRIES.length]},${((i * 37) % 900) / 10}`,
  )
  return `order,country,amount\n${lines.join('\n')}\n`
}

/** Rings of light. */
function picture(width: number, height: number, rings: number): Buffer {
  const rgb = new Uint8Array(width * height * 3)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const wave = Math.sin((Math.hypot(x - width / 2, y - height / 2) * rings) / 12)
      rgb.set([128 + 127 * wave, (255 * x) / width, (255 * y) / height], (y * width + x) * 3)
    }
  }
  return encodePpm({ width, height, rgb })
}
