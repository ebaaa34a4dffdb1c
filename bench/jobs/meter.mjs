// What a job does here: nothing, but it is counted, noted or left hanging, as the environment says. Plain JavaScript and
// light, because it is loaded into every job process of every system that is measured.
import { appendFileSync, readlinkSync } from 'node:fs'

const { BENCH_DO: what, BENCH_WARM: warm, BENCH_TOTAL: total, BENCH_STARTS: starts } = process.env
const first = Number(warm)
const last = Number(total)
let count = 0

/** Performs one job. Times are CLOCK_MONOTONIC, the same for all processes of the machine. */
export function perform(id) {
  if (what === 'count') {
    count++
    if (count === first) mark('warm')
    if (count === last) mark('done')
    return undefined
  }
  if (what !== 'note' && what !== 'hang') return undefined
  const at = process.hrtime.bigint()
  appendFileSync(starts, `${id} ${at} ${readlinkSync('/proc/self')}\n`)
  return what === 'hang' ? new Promise((resolve) => setTimeout(resolve, 1e9)) : undefined
}

function mark(name) {
  const { user, system } = process.cpuUsage()
  process.send({ mark: name, at: String(process.hrtime.bigint()), cpu: user + system })
}
