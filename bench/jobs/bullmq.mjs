import { perform } from './meter.mjs'

/** BullMQ's sandboxed processor: it asks for a default export. */
// oxlint-disable-next-line import/no-default-export
export default async function processor(job) {
  return perform(job.data.id)
}
