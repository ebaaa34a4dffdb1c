import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { defineJob, Retry } from 'resqueue/job'
import { performed, workFolder } from '../ledger.ts'

// `fetch` loads its HTTP client when it is first used. Done here, it is done once, and every forked job finds it
// loaded.
void Response

/** node-resque's positional arguments. Asks an HTTP service, and asks again later when that has no time. */
export const SyncOrder = defineJob<[url: string, order: { no: number }]>(
  'syncOrder',
  async (url, { no }, job) => {
    const response = await fetch(url, { signal: AbortSignal.timeout(10_000) })
    if (response.status === 503) {
      throw new Retry(Number(response.headers.get('retry-after')), `attempt ${job.attempt}: the shop has no time`)
    }
    const order = (await response.json()) as { no: number }
    if (order.no !== no) throw new Error(`asked for order ${no} and got ${order.no}`)
    performed(no)
  },
  { retry: 3, timeout: 20 },
)

/** Takes seconds, because the server takes its time: what a worker has in its hands when it is killed. */
export const Download = defineJob<[{ no: number; url: string }]>('Download', async ({ no, url }) => {
  const response = await fetch(url)
  await writeFile(join(workFolder(), `${no}.bin`), Buffer.from(await response.arrayBuffer()))
  performed(no)
})
