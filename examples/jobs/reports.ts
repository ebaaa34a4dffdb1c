import { defineJob, Retry } from 'resqueue/job'

const monthly = defineJob<[year: number, month: number]>(async (year, month, job) => {
  const today = new Date()
  if (today < new Date(year, month)) throw new Retry(3600, `${year}-${month} is not over`)
  job.log.info(`report for ${year}-${month}`)
})

const yearly = defineJob<[year: number]>(async (year, job) => {
  job.log.info(`report for ${year}`)
})

/**
 * Names that are no JavaScript names, such as Ruby's, are given by a map. Ruby's positional arguments come one by one.
 */
export const jobs = { 'Reports::Monthly': monthly, 'Reports::Yearly': yearly }
