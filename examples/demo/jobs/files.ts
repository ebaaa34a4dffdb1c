import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { defineJob } from 'resqueue/job'
import { performed, workFolder } from '../ledger.ts'

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** Our client enqueues it by this definition, so its argument is checked by the compiler. */
export const Compress = defineJob<[{ no: number; file: string }]>('Compress', async ({ no, file }) => {
  const source = await readFile(file)
  const target = join(workFolder(), `${no}.gz`)
  await writeFile(target, gzipSync(source, { level: 9 }))
  if (sha256(gunzipSync(await readFile(target))) !== sha256(source))
    throw new Error(`${target} cannot be unpacked again`)
  performed(no)
})

/** A PHP class name, and php-resque's one argument. This is the class form: a fresh instance for every job. */
export class Checksum {
  static readonly jobName = 'App\\Jobs\\Checksum'
  declare readonly args: { no: number; path: string; title: string }
  #bytes: Buffer | undefined

  async setUp(): Promise<void> {
    this.#bytes = await readFile(this.args.path)
  }

  async perform(): Promise<string> {
    const sum = sha256(this.#bytes ?? Buffer.alloc(0))
    await writeFile(join(workFolder(), `${this.args.no}.sha256`), `${sum}  ${this.args.title}\n`)
    performed(this.args.no)
    return sum
  }
}
