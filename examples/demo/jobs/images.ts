import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { defineJob } from 'resqueue/job'
import { performed, workFolder } from '../ledger.ts'
import { decodePpm, encodePng, shrink } from '../png.ts'

/** Makes a PNG of a quarter of the size. */
export const Thumbnail = defineJob<[{ no: number; picture: string }]>('Thumbnail', async ({ no, picture }) => {
  const small = shrink(decodePpm(await readFile(picture)), 4)
  await writeFile(join(workFolder(), `${no}.png`), encodePng(small))
  performed(no)
})
