// Writes the traces of this folder: node examples/traces/generate.ts
// Every run gives the same files; change a rate or a service time and see what the simulator says.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

const HOUR = 3600

interface Load {
  /** Jobs per second. */
  readonly rate: number
  readonly serviceSeconds: number
  /** Part of the rate by which it may be off in a second. */
  readonly noise?: number
}

/** Numbers between 0 and 1 that a seed repeats. */
function chance(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function write(name: string, seed: number, loadAt: (second: number, random: () => number) => Load): void {
  const random = chance(seed)
  const rows = ['second,arrivals,service_seconds']
  let owed = 0
  for (let second = 0; second < HOUR; second++) {
    const { rate, serviceSeconds, noise = 0.3 } = loadAt(second, random)
    owed += rate * (1 + noise * (2 * random() - 1))
    const arrivals = Math.floor(owed)
    owed -= arrivals
    rows.push(`${second},${arrivals},${serviceSeconds}`)
  }
  writeFileSync(join(import.meta.dirname, `${name}.csv`), `${rows.join('\n')}\n`)
}

// Ten jobs a second, give or take 5 %.
write('steady', 1, () => ({ rate: 10, serviceSeconds: 0.8, noise: 0.05 }))

// Ten times the load for 25 minutes.
write('step', 2, (second) => ({ rate: second >= 900 && second < 2400 ? 20 : 2, serviceSeconds: 1 }))

// Quiet, but three times an hour 1,200 jobs within half a minute.
write('burst', 3, (second) => ({ rate: second % 1200 >= 600 && second % 1200 < 630 ? 40 : 0.5, serviceSeconds: 1.5 }))

// Rises for ten minutes and falls back at once.
write('sawtooth', 4, (second) => ({ rate: 1 + 24 * ((second % 600) / 600), serviceSeconds: 1 }))

// Nothing at all, then 12,000 jobs within two minutes, then nothing again.
write('night-batch', 5, (second) => ({ rate: second >= 1200 && second < 1320 ? 100 : 0, serviceSeconds: 1 }))

// Five short jobs a second, and every ten seconds or so one that takes a minute.
write('long-tail', 6, (_, random) =>
  random() < 0.1 ? { rate: 1, serviceSeconds: 60 } : { rate: 5, serviceSeconds: 0.5 },
)
