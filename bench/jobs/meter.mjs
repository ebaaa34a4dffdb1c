// What a job does here: nothing, but it is counted, noted or left hanging, as the environment says. Plain JavaScript and
// light, because it is loaded into every job process of every system that is measured.
import { openSync, readlinkSync, writeSync } from 'node:fs'

const { BENCH_DO: what, BENCH_WARM: warm, BENCH_TOTAL: total, BENCH_STARTS: starts } = process.env
const first = Number(warm)
const last = Number(total)
let count = 0
let self

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
  // Opened by the process that performs, not by the one that it may have been forked from.
  self ??= { fd: openSync(starts, 'a'), pid: readlinkSync('/proc/self') }
  writeSync(self.fd, `${id} ${at} ${self.pid}\n`)
  return what === 'hang' ? new Promise((resolve) => setTimeout(resolve, 1e9)) : undefined
}

function mark(name) {
  const { user, system } = process.cpuUsage()
  process.send({ mark: name, at: String(process.hrtime.bigint()), cpu: user + system })
}
