import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'

export interface Machine {
  readonly facts: readonly string[]
}

/** What the figures were measured on, without anything that says where. */
export function describeMachine(redisVersion: string): Machine {
  const cores = availableParallelism()
  const model = cpus()[0]?.model.trim() ?? 'unknown'
  return {
    facts: [
      `${cores} ${cores === 1 ? 'core' : 'cores'}, ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB of memory`,
      `${type()} ${release()}, Node ${process.versions.node}, Redis ${redisVersion} on the loopback interface without persistence`,
      ...idleCores(),
      `load average before the start ${(loadavg()[0] ?? 0).toFixed(1)}: on a busy machine rates are worth little`,
      `ResQueue ${versionOf('../../package.json')}, ${['bullmq', 'bee-queue', 'node-resque', 'ioredis']
        .map((name) => `${name} ${versionOf(`../node_modules/${name}/package.json`)}`)
        .join(', ')}`,
    ],
  }
}

/**
 * How long an idle core looks for work before it halts: in a virtual machine one that halted may take milliseconds to
 * wake, and what is measured of one job at a time is that (https://docs.kernel.org/virt/guest-halt-polling.html).
 */
function idleCores(): readonly string[] {
  try {
    const driver = readFileSync('/sys/devices/system/cpu/cpuidle/current_driver', 'latin1').trim()
    if (driver !== 'haltpoll') return [`cpuidle driver ${driver}`]
    const ns = Number(readFileSync('/sys/module/haltpoll/parameters/guest_halt_poll_ns', 'latin1'))
    return [`cpuidle driver haltpoll: an idle core polls for up to ${ns / 1000} µs before it halts`]
  } catch {
    return []
  }
}

function versionOf(file: string): string {
  return (JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8')) as { version: string }).version
}
